import { codeOf, RuntimeError } from "../../../base/errors.js";
import { Limiter } from "../../../base/limiter.js";
import type { FileEntry, Files, FileScope } from "../../core/file.js";

/** More is no listing that anybody reads. */
const mostEntries = 10_000;
/** Links that are followed at a time. */
const atATime = 16;

export interface Listed {
  readonly name: string;
  readonly entry: FileEntry;
}

/** What is in a directory, sorted by name, links followed; those that lead nowhere, or out of the root, are left out. */
export async function listed(
  files: Files,
  path: string,
  scope: FileScope,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly Listed[]; readonly truncated: boolean }> {
  const { directory, entries, truncated } = await files.list(path, scope, { depth: 1, limit: mostEntries }, signal);
  const limiter = new Limiter<string>({ inAll: atATime });
  const found = await Promise.all(
    entries.map(async (entry): Promise<Listed | undefined> => {
      if (entry.kind !== "link") return { name: entry.name, entry };
      const at = `${directory.path}/${entry.name}`;
      const target = await limiter.run(at, signal, () => linked(files, at, scope, signal));
      return target === undefined ? undefined : { name: entry.name, entry: target };
    }),
  );
  return { entries: found.flatMap((one) => one ?? []).sort(byName), truncated };
}

const byName = (a: Listed, b: Listed): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

async function linked(
  files: Files,
  path: string,
  scope: FileScope,
  signal: AbortSignal,
): Promise<FileEntry | undefined> {
  try {
    return await files.stat(path, scope, true, signal);
  } catch (thrown) {
    const code = codeOf(thrown);
    // A loop of links is an invalid argument.
    if (code === "notFound" || code === "permissionDenied" || code === "invalidArgument") return undefined;
    throw thrown;
  }
}

/** Where the entry is a directory, what is in it goes with `recursive` alone. */
export async function emptied(files: Files, path: string, scope: FileScope, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { directory, entries, truncated } = await files.list(path, scope, { depth: 1, limit: mostEntries }, signal);
    for (const { name } of entries) {
      await files.remove(`${directory.path}/${name}`, scope, true, signal).catch((thrown: unknown) => {
        if (codeOf(thrown) !== "notFound") throw thrown;
      });
    }
    if (!truncated) return;
    if (entries.length === 0) throw new RuntimeError("internal", "a directory that is full and empty");
  }
}
