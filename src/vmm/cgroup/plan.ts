/** The groups of a Box on the host: where they will be, in which hierarchies. */
import { basename, dirname, join, posix } from "node:path";
import { cgroupHierarchies, type CgroupHierarchy } from "../../base/cgroups.js";
import { RuntimeError } from "../../base/errors.js";
import type { BoxId } from "../../base/ids.js";
import { isThere } from "../../base/is-there.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { poolSlice, slicePath, sliceOf } from "../systemd/slice-path.js";

/** Parent of Boxes whose pod names none. */
export const ownCgroupParent = "/a3s-box";
/** Of Boxes that have no pod yet: what they take together is told apart. */
export const poolCgroupParent = `${ownCgroupParent}/pool`;

/**
 * Who makes the groups. cgroupfs: the daemon, by mkdir. systemd: it makes a scope for the Box and delegates it, the daemon
 * makes what is below.
 */
export type CgroupManager = "cgroupfs" | "systemd";

/** How groups of Boxes are made on this node. */
export interface CgroupSettings {
  readonly manager: CgroupManager;
  /**
   * Also in hierarchies that limit and count nothing: the runtime of the container that this daemon is in ends whatever is
   * in that container's group of any of them.
   */
  readonly everywhere: boolean;
}

export function poolParentOf(manager: CgroupManager): string {
  return manager === "cgroupfs" ? poolCgroupParent : poolSlice;
}

/** A group of a Box that has no pod yet. */
export function isPoolGroup(directory: string): boolean {
  const parent = dirname(directory);
  return parent.endsWith(poolCgroupParent) || basename(parent) === poolSlice;
}

/** One whose making may fail in a hierarchy, as nobody has asked for it. */
export function isOwnParent(parent: string): boolean {
  return parent === "" || parent === poolCgroupParent || parent === poolSlice;
}

/** systemd knows a scope by its name alone: a Box is in one of two for as long as it takes to move it. */
function scopeName(id: BoxId, parent: string): string {
  return parent === poolSlice ? `a3s-pool-${id}.scope` : `a3s-box-${id}.scope`;
}

/** A directory of the Box's own group, whoever made it. */
export function isBoxGroup(directory: string, id: BoxId): boolean {
  return [id, scopeName(id, ""), scopeName(id, poolSlice)].includes(basename(directory));
}

/**
 * "leaf": the Box's processes live in its group. "parent": groups of containers come to be below it, in every hierarchy,
 * and the Box's own process lives in one beside them (cgroups(7), "no internal processes").
 */
export type GroupUse = "leaf" | "parent";
/** Where the Box's own process lives then. */
const ownLeaf = "agent";

/** The parent as an absolute path below each hierarchy, where no systemd has it. */
export function cgroupParentPath(parent: string): string {
  const path = posix.normalize(`/${parent}`);
  if (parent.split("/").includes("..") || parent.includes("\0")) {
    throw new RuntimeError("invalidArgument", `cgroup parent "${parent}" must not contain ".."`);
  }
  return path === "/" ? ownCgroupParent : path.replace(/\/$/, "");
}

/** What will be made, and in which hierarchies: written down before it is made, so that a crash leaves a trail. */
export interface CgroupPlan {
  /** Of the Box's group. */
  readonly path: string;
  /** Of the one that its processes live in. */
  readonly leaf: string;
  readonly hierarchies: readonly CgroupHierarchy[];
  /** Whether the Box's processes go into all of them, and not only into those that limit or count something. */
  readonly everywhere: boolean;
  readonly directories: readonly string[];
  /** Under systemd: the slice of the scope that `path` is. */
  readonly slice?: string;
}

export async function planBoxCgroup(
  parent: string,
  id: BoxId,
  use: GroupUse,
  { manager, everywhere }: CgroupSettings,
): Promise<CgroupPlan> {
  const slice = manager === "systemd" ? sliceOf(parent) : undefined;
  const path =
    slice === undefined ? `${cgroupParentPath(parent)}/${id}` : `${slicePath(slice)}/${scopeName(id, slice)}`;
  const leaf = use === "leaf" ? path : `${path}/${ownLeaf}`;
  const hierarchies = cgroupHierarchies(await readMountinfo(), use === "parent" || slice !== undefined || everywhere);
  const directories: string[] = [];
  for (const hierarchy of hierarchies) {
    const { mountPoint } = hierarchy;
    const top = slice !== undefined && isManagers(hierarchy) ? join(mountPoint, slicePath(slice)) : mountPoint;
    for (let directory = join(mountPoint, leaf); directory !== top; directory = dirname(directory)) {
      if (!(await isThere(directory))) directories.push(directory);
    }
  }
  return { path, leaf, hierarchies, everywhere, directories, ...(slice === undefined ? {} : { slice }) };
}

/** systemd has groups of its units there; in the other v1 hierarchies nobody has but who makes them. */
function isManagers({ version, controllers, name }: CgroupHierarchy): boolean {
  return version === 2 || name === "systemd" || controllers.some((one) => one !== "cpuset");
}
