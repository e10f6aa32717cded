import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { errnoOf, RuntimeError } from "../base/errors.js";
import type { DirectoryLock, Native } from "../native/addon.js";

/** Root of a pod's user namespace, a user like any other to the host, passes `state` on the way to what is its own. */
const modes = { root: 0o700, state: 0o711 } as const;

/** Has the number of the process that has taken the directory last, for people. */
export function lockNote(directory: string): string {
  return join(directory, "lock");
}

/**
 * Makes a directory of the daemon's and takes it for this process alone, until it ends. `alreadyExists` names the process
 * that has it: `lock` in the directory holds its number, for people; the flock is what counts.
 */
export async function lockDirectory(
  native: Native,
  directory: string,
  setting: "root" | "state",
): Promise<DirectoryLock> {
  await closedDirectory(directory, modes[setting]);
  const note = lockNote(directory);
  try {
    const lock = await native.lockDirectory(directory);
    await writeFile(note, `${String(process.pid)}\n`, { mode: 0o600 });
    return lock;
  } catch (thrown) {
    if (errnoOf(thrown) !== "EWOULDBLOCK") throw thrown;
    const pid = await readFile(note, "utf8").catch(() => "");
    const owner = pid.trim() === "" ? "another process" : `process ${pid.trim()}`;
    throw new RuntimeError("alreadyExists", `${setting} ${directory} is in use by ${owner}`, {
      hint: `stop it, or choose another --${setting}`,
      cause: thrown,
    });
  }
}
