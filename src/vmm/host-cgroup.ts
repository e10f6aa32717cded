import { access, mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { RuntimeError, errnoOf, isNotFound, messageOf } from "../base/errors.js";
import type { SandboxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { sleep } from "../base/stage.js";
import { readMountinfo, type MountLine } from "./mountinfo.js";

/** Parent of Boxes whose sandbox names none. */
export const ownCgroupParent = "/a3s-box";
/** v1 hierarchies in which a Box gets a group: what kubelet limits and accounts. */
const wantedControllers = new Set(["cpu", "cpuacct", "cpuset", "memory", "pids"]);
const removeRetryMs = 20;

/** A mounted hierarchy: cgroup v2 (also the empty one of a hybrid host), or v1 with its controllers. */
export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  readonly controllers: readonly string[];
}

/** The groups of one Box. */
export interface BoxCgroup {
  /** Folders that were made, deepest first in each hierarchy: the Box's own, then parents that were not there. */
  readonly folders: readonly string[];
  /** The `cgroup.procs` files that the Box's processes write themselves into. */
  readonly procs: readonly string[];
}

export function cgroupHierarchies(mounts: readonly MountLine[]): CgroupHierarchy[] {
  const found = new Map<string, CgroupHierarchy>();
  for (const mount of mounts) {
    if (mount.type === "cgroup2") {
      found.set(mount.target, { version: 2, mountPoint: mount.target, controllers: [] });
    } else if (mount.type === "cgroup") {
      const controllers = mount.superOptions.filter((option) => wantedControllers.has(option));
      if (controllers.length > 0) found.set(mount.target, { version: 1, mountPoint: mount.target, controllers });
    }
  }
  return [...found.values()];
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

async function makeGroup(hierarchy: CgroupHierarchy, path: string): Promise<void> {
  let folder = hierarchy.mountPoint;
  for (const name of path.split("/").filter((part) => part !== "")) {
    if (hierarchy.version === 2) await delegateControllers(folder);
    const parent = folder;
    folder = join(folder, name);
    try {
      await mkdir(folder, 0o755);
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
    if (hierarchy.controllers.includes("cpuset")) await inheritCpuset(parent, folder);
  }
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

/** cgroups(7): a v2 child has a controller only when its parent hands it down. What can't be handed down is not. */
async function delegateControllers(folder: string): Promise<void> {
  const available = await readFile(join(folder, "cgroup.controllers"), "utf8").catch(() => "");
  const enabled = await readFile(join(folder, "cgroup.subtree_control"), "utf8").catch(() => "");
  for (const controller of available.trim().split(/\s+/)) {
    if (!wantedControllers.has(controller) || enabled.split(/\s+/).includes(controller)) continue;
    await writeFile(join(folder, "cgroup.subtree_control"), `+${controller}`).catch(() => undefined);
  }
}

/** cpuset(7), v1: a new group has no CPUs and no memory nodes, and takes no process before it has both. */
async function inheritCpuset(parent: string, folder: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if ((await readFile(join(folder, file), "utf8")).trim() !== "") continue;
    await writeFile(join(folder, file), await readFile(join(parent, file), "utf8"));
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
