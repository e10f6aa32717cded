/**
 * A daemon in a container whose Boxes are to outlive that: it works among the node's control groups, not among its
 * container's, and what all Boxes take is bounded there, as no limit of the container counts them (docs/adr/0148).
 */
import { readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupHierarchies, makeGroup, type CgroupHierarchy } from "../base/cgroups.js";
import { errnoOf, messageOf, RuntimeError } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import type { Logger } from "../base/log.js";
import { readMountinfo, type MountLine } from "../base/mountinfo.js";
import type { Config } from "../config/config.js";
import type { Native } from "../native/addon.js";
import { ownCgroupParent } from "../vmm/cgroup/plan.js";

const nodesMount = "the node's /sys/fs/cgroup by a hostPath at /sys/fs/cgroup, not read-only";
const stageName = "leave container";
/** Of the first process that this one sees, which is the node's where the container has the node's PIDs. */
export const nodesNamespace = "/proc/1/ns/cgroup";
/** Of version 1 and 2, by which a group's memory is bounded. */
const memoryFiles = ["memory.limit_in_bytes", "memory.max"] as const;

/**
 * Nothing unless `cgroup.outlive_container` or `cgroup.memory_mib` says so. May begin the process anew, once: call it before
 * anything is opened. `failedPrecondition` names what the container lacks.
 */
export async function goOutside({ cgroup }: Pick<Config, "cgroup">, native: Native, log: Logger): Promise<void> {
  if (!cgroup.outlivesContainer && cgroup.memoryMib === 0) return;
  const mounts = await readMountinfo();
  if (cgroup.outlivesContainer) {
    if (process.pid === 1) throw lacks("the container has PIDs of its own: its end ends all of them", "hostPID: true");
    if (isDelegated(mounts)) await joinNode(native);
    requireNodes(mounts, await readFile("/proc/self/cgroup", "utf8"));
  }
  const hierarchies = cgroupHierarchies(mounts, cgroup.outlivesContainer);
  await makeOwnGroup(hierarchies);
  await boundOwnGroup(hierarchies, cgroup.memoryMib, log);
}

/** Under version 2 with that option no process is moved out of what its mover sees (kernel, cgroup-v2.rst, "nsdelegate"). */
export function isDelegated(mounts: readonly MountLine[]): boolean {
  return mounts.some(({ type, superOptions }) => type === "cgroup2" && superOptions.includes("nsdelegate"));
}

async function joinNode(native: Native): Promise<void> {
  try {
    if ((await readlink("/proc/self/ns/cgroup")) === (await readlink(nodesNamespace))) return;
    const { execPath, execArgv, argv } = process;
    native.goOnInCgroupNamespace(nodesNamespace, execPath, [execPath, ...execArgv, ...argv.slice(1)]);
  } catch (cause) {
    throw lacks(`the node's cgroup namespace can't be joined: ${messageOf(cause)}`, "the capability SYS_PTRACE", cause);
  }
}

/**
 * A container's own mounts of its groups look like the node's. Seen from a cgroup namespace of the container's they begin where
 * that does ("/"), and the node's above it ("/../.."); seen from the node's they begin below its root. Where this process is in
 * a hierarchy's root nothing is known of it. `groups`: /proc/self/cgroup.
 */
export function requireNodes(mounts: readonly MountLine[], groups: string): void {
  const own = groupsOf(groups);
  let known = false;
  for (const hierarchy of cgroupHierarchies(mounts, true)) {
    const root = mounts.findLast(({ target }) => target === hierarchy.mountPoint)?.root ?? "/";
    const isAbove = /^(?:\/\.\.)+$/.test(root);
    if (root !== "/" && !isAbove)
      throw lacks(`${hierarchy.mountPoint} begins at ${root}: it is a container's own`, nodesMount);
    if (isAbove || (own(hierarchy) ?? "/") !== "/") known = true;
  }
  if (!known) throw lacks("none of the mounted cgroups is the node's: they are a container's own", nodesMount);
}

/** proc_pid_cgroup(5): "ID:CONTROLLERS:PATH" a line. Undefined where no line is of the hierarchy. */
function groupsOf(text: string): (hierarchy: CgroupHierarchy) => string | undefined {
  const lines = text.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return controllers === undefined || path === undefined ? [] : [{ controllers: controllers.split(","), path }];
  });
  return ({ version, controllers, name }) => {
    const words = version === 2 ? [""] : name === undefined ? controllers : [`name=${name}`];
    return lines.find((line) => words.some((word) => line.controllers.includes(word)))?.path;
  };
}

async function makeOwnGroup(hierarchies: readonly CgroupHierarchy[]): Promise<void> {
  for (const hierarchy of hierarchies) {
    try {
      await makeGroup(hierarchy, ownCgroupParent);
    } catch (cause) {
      const what = `${ownCgroupParent} can't be made in ${hierarchy.mountPoint}: ${messageOf(cause)}`;
      throw lacks(what, nodesMount, cause);
    }
  }
}

/** What is over a new bound already can't be taken back at once under version 1: the old bound stays, and is told. */
async function boundOwnGroup(hierarchies: readonly CgroupHierarchy[], mib: number, log: Logger): Promise<void> {
  let bounded = mib === 0;
  for (const { mountPoint } of hierarchies) {
    for (const name of memoryFiles) {
      const file = join(mountPoint, ownCgroupParent, name);
      if (!(await isThere(file))) continue;
      const none = name === "memory.max" ? "max" : "-1";
      try {
        await writeFile(file, mib === 0 ? none : String(mib * 1024 * 1024), { flag: "r+" });
      } catch (cause) {
        if (errnoOf(cause) !== "EBUSY") throw lacks(`${file}: ${messageOf(cause)}`, "see cgroup.memory_mib", cause);
        log.warn({ file, mib }, "Boxes take more than they may together by now: the bound is as it was");
      }
      bounded = true;
    }
  }
  if (!bounded)
    throw lacks("no hierarchy bounds memory", "mount the memory controller, or leave cgroup.memory_mib at 0");
}

function lacks(what: string, hint: string, cause?: unknown): RuntimeError {
  return new RuntimeError("failedPrecondition", what, { stage: stageName, hint, cause });
}
