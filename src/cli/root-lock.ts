import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { errnoOf, RuntimeError } from "../base/errors.js";
import type { FolderLock, Native } from "../native/addon.js";

/** Root of a pod's user namespace, a user like any other to the host, passes `state` on the way to what is its own. */
const modes = { root: 0o700, state: 0o711 } as const;

/**
 * Makes a folder of the daemon's and takes it for this process alone, until it ends. `alreadyExists` names the process
 * that has it: `lock` in the folder holds its number, for people; the flock is what counts.
 */
export async function lockFolder(native: Native, folder: string, setting: "root" | "state"): Promise<FolderLock> {
  await closedDirectory(folder, modes[setting]);
  const note = join(folder, "lock");
  try {
    const lock = await native.lockFolder(folder);
    await writeFile(note, `${String(process.pid)}\n`, { mode: 0o600 });
    return lock;
  } catch (thrown) {
    if (errnoOf(thrown) !== "EWOULDBLOCK") throw thrown;
    const pid = await readFile(note, "utf8").catch(() => "");
    const owner = pid.trim() === "" ? "another process" : `process ${pid.trim()}`;
    throw new RuntimeError("alreadyExists", `${setting} ${folder} is in use by ${owner}`, {
      hint: `stop it, or choose another --${setting}`,
      cause: thrown,
    });
  }
}
