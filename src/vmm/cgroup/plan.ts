/** The groups of a Box on the host: where they will be, in which hierarchies. */
import { basename, dirname, join, posix } from "node:path";
import { cgroupHierarchies, type CgroupHierarchy } from "../../base/cgroups.js";
import { RuntimeError } from "../../base/errors.js";
import type { BoxId } from "../../base/ids.js";
import { isThere } from "../../base/is-there.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { slicePath, sliceOf } from "../systemd/slice-path.js";

/** Parent of Boxes whose pod names none. */
export const ownCgroupParent = "/a3s-box";

/**
 * Who makes the groups. cgroupfs: the daemon, by mkdir. systemd: it makes a scope for the Box and delegates it, the daemon
 * makes what is below.
 */
export type CgroupManager = "cgroupfs" | "systemd";

function boxGroupName(id: BoxId, manager: CgroupManager): string {
  return manager === "cgroupfs" ? id : `a3s-box-${id}.scope`;
}

/** A folder of the Box's own group, whoever made it. */
export function isBoxGroup(folder: string, id: BoxId): boolean {
  const name = basename(folder);
  return name === boxGroupName(id, "cgroupfs") || name === boxGroupName(id, "systemd");
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
  readonly folders: readonly string[];
  /** Under systemd: the slice of the scope that `path` is. */
  readonly slice?: string;
}

export async function planBoxCgroup(
  parent: string,
  id: BoxId,
  use: GroupUse,
  manager: CgroupManager,
): Promise<CgroupPlan> {
  const slice = manager === "systemd" ? sliceOf(parent) : undefined;
  const path = `${slice === undefined ? cgroupParentPath(parent) : slicePath(slice)}/${boxGroupName(id, manager)}`;
  const leaf = use === "leaf" ? path : `${path}/${ownLeaf}`;
  const hierarchies = cgroupHierarchies(await readMountinfo(), use === "parent" || slice !== undefined);
  const folders: string[] = [];
  for (const hierarchy of hierarchies) {
    const { mountPoint } = hierarchy;
    const top = slice !== undefined && isManagers(hierarchy) ? join(mountPoint, slicePath(slice)) : mountPoint;
    for (let folder = join(mountPoint, leaf); folder !== top; folder = dirname(folder)) {
      if (!(await isThere(folder))) folders.push(folder);
    }
  }
  return { path, leaf, hierarchies, folders, ...(slice === undefined ? {} : { slice }) };
}

/** systemd has groups of its units there; in the other v1 hierarchies nobody has but who makes them. */
function isManagers({ version, controllers, name }: CgroupHierarchy): boolean {
  return version === 2 || name === "systemd" || controllers.some((one) => one !== "cpuset");
}
