import { messageOf } from "../../base/errors.js";
import { ProcessServiceService as service } from "../../gen/sandboxes/v1/processes.js";
import type { Edge } from "./connect.js";

const limitMs = 60_000n;
/** Of one program; each path has at most 4,096 bytes. */
const mostPaths = 25;

/** A directory of a sandbox, and the permissions that it is to have. */
export interface DirectoryMode {
  readonly path: string;
  readonly mode: number;
}

/**
 * Of directories that had to be open while they were filled, in this order: what is in one before it. The port has no call for
 * it: the sandbox's own chmod does it, as the user who has made them. Answers those that are as they were, and why.
 */
export async function restoreModes(
  edge: Edge,
  of: { readonly sandboxId: string; readonly user: string },
  directories: readonly DirectoryMode[],
): Promise<{ readonly left: readonly string[]; readonly why: string }> {
  const left: string[] = [];
  let why = "";
  for (const { mode, paths } of batches(directories)) {
    const args = ["chmod", mode.toString(8).padStart(4, "0"), "--", ...paths];
    try {
      const code = await exitOf(edge, of, args);
      if (code === 0) continue;
      why = `its chmod ended with ${String(code)}`;
    } catch (thrown) {
      why = messageOf(thrown);
    }
    left.push(...paths);
  }
  return { left, why };
}

/** Neighbours with one mode, together. */
function batches(directories: readonly DirectoryMode[]): { readonly mode: number; readonly paths: string[] }[] {
  const all: { readonly mode: number; readonly paths: string[] }[] = [];
  for (const { mode, path } of directories) {
    const last = all.at(-1);
    if (last?.mode === mode && last.paths.length < mostPaths) last.paths.push(path);
    else all.push({ mode, paths: [path] });
  }
  return all;
}

async function exitOf(
  edge: Edge,
  { sandboxId, user }: { readonly sandboxId: string; readonly user: string },
  args: string[],
): Promise<number> {
  const more = { env: {}, workingDir: "/", terminal: undefined, stdin: false, tag: "", limitMs, startId: "" };
  let id: number | undefined;
  for await (const { event } of edge.events(service.runProcess, { start: { sandboxId, user, args, ...more } })) {
    id ??= event?.process?.id;
    if (event?.exit === undefined) continue;
    const { code } = event.exit;
    await edge.call(service.forgetProcess, { sandboxId, process: { id, tag: undefined } });
    return code;
  }
  throw new Error("the connection ended before its chmod");
}
