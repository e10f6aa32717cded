/** A series of patches of ours, on sources of others. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { run, type SetupContext } from "../run.js";

/** In the order of their names; the first component of what they change, each once. A part that no longer fits fails. */
export async function applyPatches(
  context: SetupContext,
  { patches, to }: { readonly patches: string; readonly to: string },
  logFile: string,
): Promise<ReadonlySet<string>> {
  const touched = new Set<string>();
  for (const name of (await readdir(patches)).sort()) {
    const path = join(patches, name);
    const text = await readFile(path, "utf8");
    for (const [, target = ""] of text.matchAll(/^\+\+\+ b\/([^/\n]+)\//gm)) touched.add(target);
    const args = ["-p1", "--fuzz=0", "--no-backup-if-mismatch", "-d", to, "-i", path];
    await run("patch", args, { signal: context.signal, logFile });
  }
  return touched;
}
