import type { BoxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import type { Native } from "../native/addon.js";
import type { BoxHandle } from "./box.js";
import { readBoxRecord, type BoxDirectory, type BoxRecord } from "./box-directory.js";
import { BoxProcesses } from "./box-processes.js";
import { removeBoxCgroup } from "./cgroup/remove.js";
import { mountsBelow, readMountinfo } from "../base/mountinfo.js";
import { isThere } from "../base/is-there.js";

export interface DiscardDeps {
  readonly native: Native;
  readonly log: Logger;
}

/**
 * Takes back all that a Box had, from whatever is known of it: its handle, the record in its directory, the mounts below
 * the directory. Each step succeeds when there is nothing to do, so it may be repeated after a failure half way.
 */
export async function discardBox(
  deps: DiscardDeps,
  id: BoxId,
  directory: BoxDirectory,
  handle: BoxHandle | undefined,
  signal: AbortSignal,
): Promise<void> {
  const record = await recordOf(directory, deps.log);
  // Two ids may begin with the same digits, 96 bits of them: the directory is then another Box's.
  const mine = record === undefined || record.id === id;
  await killProcesses(deps.native, [...(handle?.processes ?? []), ...(mine ? (record?.processes ?? []) : [])], signal);
  const cgroups = [...(handle?.cgroups ?? []), ...(mine ? (record?.cgroups ?? []) : [])];
  await removeBoxCgroup([...new Set(cgroups)], id, signal);
  if (mine) await removeBoxDirectory(directory, deps.native);
}

/** Everything mounted below the directory, then the directory. Success when it is not there. */
export async function removeBoxDirectory(directory: BoxDirectory, native: Native): Promise<void> {
  if (!(await isThere(directory.path))) return;
  for (const target of mountsBelow(await readMountinfo(), directory.path)) await native.unmount(target, true);
  await native.removeTree(directory.path);
}

/** A record that can't be read must not keep a directory for ever. */
async function recordOf(directory: BoxDirectory, log: Logger): Promise<BoxRecord | undefined> {
  try {
    return await readBoxRecord(directory);
  } catch (err) {
    log.warn({ err, directory: directory.path }, "the record of this Box can't be read");
    return undefined;
  }
}

async function killProcesses(native: Native, processes: BoxHandle["processes"], signal: AbortSignal): Promise<void> {
  const found = new BoxProcesses(native, (reason) => Promise.resolve(reason));
  const seen = new Set<string>();
  for (const { role, pid, startTime } of processes) {
    const name = `${pid}@${startTime.toString()}`;
    if (seen.has(name)) continue;
    seen.add(name);
    const pidfd = await native.adoptProcess(pid, startTime);
    if (pidfd !== null) found.add(role, { pid, pidfd, startTime });
  }
  await found.kill(signal);
}
