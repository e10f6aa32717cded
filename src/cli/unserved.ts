/**
 * What becomes of sandboxes whose daemon has been told to stop: an update and an uninstall are the same signal to it. A process
 * outside of its container waits whether another daemon comes, and has them all end where none does (docs/adr/0148).
 */
import { open, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupHierarchies, makeGroup } from "../base/cgroups.js";
import { monotonicMs } from "../base/clock.js";
import { RuntimeError } from "../base/errors.js";
import { readMountinfo } from "../base/mountinfo.js";
import { sleep } from "../base/stage.js";
import type { Config } from "../config/config.js";
import type { Native } from "../native/addon.js";
import { ownCgroupParent, poolCgroupParent } from "../vmm/cgroup/plan.js";
import { lockNote } from "./root-lock.js";

const waitersGroup = `${ownCgroupParent}/unserved`;
const lookMs = 1_000;

/** `words`: the command line that waits and then ends them, without the program. */
export async function startWaiter(config: Config, words: readonly string[], native: Native): Promise<number> {
  const procs: string[] = [];
  for (const hierarchy of cgroupHierarchies(await readMountinfo(), config.cgroup.outlivesContainer)) {
    await makeGroup(hierarchy, waitersGroup);
    procs.push(join(hierarchy.mountPoint, waitersGroup, "cgroup.procs"));
  }
  const [main] = process.argv.slice(1);
  if (main === undefined) throw new RuntimeError("internal", "this process has no program");
  await using log = await open(join(config.state, "unserved.log"), "a", 0o600);
  const { pid, pidfd } = await native.spawn({
    ...{ file: process.execPath, args: [process.execPath, ...process.execArgv, main, ...words], cwd: "/" },
    env: Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`),
    ...{ stdio: [null, log.fd, log.fd], netns: null, newMountNamespace: false, newIpcAndUts: false },
    ...{ cgroupProcs: procs, maxOpenFiles: null, oomScoreAdj: null },
  });
  await native.closeFd(pidfd);
  return pid;
}

/** Whether another daemon than `pid` has taken the directory `root` within that time. */
export async function isServedWithin(root: string, pid: number, ms: number, signal: AbortSignal): Promise<boolean> {
  const endMs = monotonicMs() + ms;
  while (monotonicMs() < endMs) {
    const owner = await readFile(lockNote(root), "utf8").catch(() => "");
    if (owner.trim() !== String(pid)) return true;
    await sleep(Math.min(lookMs, Math.max(endMs - monotonicMs(), 1)), signal);
  }
  return false;
}

/** The groups that no Box is in any more, from within one of them. What others have in them stays. */
export async function leaveGroups(config: Pick<Config, "cgroup">): Promise<void> {
  for (const { mountPoint } of cgroupHierarchies(await readMountinfo(), config.cgroup.outlivesContainer)) {
    const own = join(mountPoint, waitersGroup);
    const members = await readFile(join(own, "cgroup.procs"), "utf8").catch(() => "");
    if (members.split("\n").includes(String(process.pid))) {
      await writeFile(join(mountPoint, "cgroup.procs"), String(process.pid), { flag: "r+" });
    }
    for (const group of [waitersGroup, poolCgroupParent, ownCgroupParent]) {
      await rmdir(join(mountPoint, group)).catch(() => undefined); // not there, or in use
    }
  }
}
