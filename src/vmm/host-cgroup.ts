import { access, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { cgroupHierarchies, makeGroup, type CgroupHierarchy } from "../base/cgroups.js";
import { RuntimeError, errnoOf, isNotFound, messageOf } from "../base/errors.js";
import type { SandboxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { sleep } from "../base/stage.js";
import { readMountinfo } from "../base/mountinfo.js";

/** Parent of Boxes whose sandbox names none. */
export const ownCgroupParent = "/a3s-box";
const removeRetryMs = 20;

/** The groups of one Box. */
export interface BoxCgroup {
  /** Folders that were made, deepest first in each hierarchy: the Box's own, then parents that were not there. */
  readonly folders: readonly string[];
  /** The `cgroup.procs` files that the Box's processes write themselves into. */
  readonly procs: readonly string[];
}

/** The parent as an absolute path below each hierarchy. A systemd name ("x.slice") is taken as a path. */
export function cgroupParentPath(parent: string): string {
  const path = posix.normalize(`/${parent}`);
  if (parent.split("/").includes("..") || parent.includes("\0")) {
    throw new RuntimeError("invalidArgument", `cgroup parent "${parent}" must not contain ".."`);
  }
  return path === "/" ? ownCgroupParent : path.replace(/\/$/, "");
}

/** What will be made, and in which hierarchies: written down before it is made, so that a crash leaves a trail. */
export interface CgroupPlan {
  readonly path: string;
  readonly hierarchies: readonly CgroupHierarchy[];
  readonly folders: readonly string[];
}

export async function planBoxCgroup(parent: string, id: SandboxId): Promise<CgroupPlan> {
  const path = `${cgroupParentPath(parent)}/${id}`;
  const hierarchies = cgroupHierarchies(await readMountinfo());
  const folders: string[] = [];
  for (const { mountPoint } of hierarchies) {
    for (let folder = join(mountPoint, path); folder !== mountPoint; folder = dirname(folder)) {
      if (!(await exists(folder))) folders.push(folder);
    }
  }
  return { path, hierarchies, folders };
}

/**
 * Makes the groups of a plan. Undoes itself. With a parent that the sandbox named (`strict`) a failure is one; with our
 * own, a hierarchy that can't be written is left out with a warning.
 */
export async function createBoxCgroup(plan: CgroupPlan, strict: boolean, log: Logger): Promise<BoxCgroup> {
  const procs: string[] = [];
  for (const hierarchy of plan.hierarchies) {
    try {
      // Once more when the parent went between two steps: the last Box in it takes it along.
      await makeGroup(hierarchy, plan.path).catch(() => makeGroup(hierarchy, plan.path));
      procs.push(join(hierarchy.mountPoint, plan.path, "cgroup.procs"));
    } catch (cause) {
      const message = `make cgroup ${plan.path} in ${hierarchy.mountPoint}: ${messageOf(cause)}`;
      if (strict) {
        for (const folder of plan.folders) await rmdir(folder).catch(() => undefined);
        throw new RuntimeError("internal", message, { cause });
      }
      log.warn({ hierarchy: hierarchy.mountPoint, err: messageOf(cause) }, "no cgroup for this Box here");
    }
  }
  return { folders: plan.folders, procs };
}

async function exists(folder: string): Promise<boolean> {
  try {
    await access(folder);
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/**
 * Kills what is left in a Box's groups and removes them; parents go only when they are empty. Success for groups that
 * are not there. Throws when a group of the Box stays in use until the signal aborts.
 */
export async function removeBoxCgroup(folders: readonly string[], id: SandboxId, signal: AbortSignal): Promise<void> {
  const own = folders.filter((folder) => basename(folder) === id);
  for (const folder of own) await killGroup(folder);
  for (const folder of own) await removeGroup(folder, signal);
  for (const folder of folders) {
    if (!own.includes(folder)) await rmdir(folder).catch(() => undefined); // another Box may live there
  }
}

async function killGroup(folder: string): Promise<void> {
  try {
    await writeFile(join(folder, "cgroup.kill"), "1", { flag: "r+" });
    return;
  } catch {
    // v1, or before Linux 5.14: one by one
  }
  const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of text.split("\n").map(Number)) {
    if (Number.isInteger(pid) && pid > 1) killPid(pid);
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw thrown;
  }
}

async function removeGroup(folder: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await rmdir(folder);
      return;
    } catch (thrown) {
      if (isNotFound(thrown)) return;
      if (errnoOf(thrown) !== "EBUSY") throw thrown;
      if (signal.aborted) throw new RuntimeError("internal", `cgroup ${folder} is still in use`, { cause: thrown });
    }
    await sleep(removeRetryMs, signal).catch(() => undefined);
    await killGroup(folder);
  }
}
