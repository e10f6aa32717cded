import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupHierarchies } from "../../base/cgroups.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { slicePath, sliceOf } from "../systemd/slice-path.js";
import { cgroupParentPath, type CgroupManager } from "./plan.js";

/** What the group above a Box's may have: kubelet's, of the pod. It says more than the pod's creation does. */
export interface ParentLimits {
  /** undefined: no limit. */
  readonly memoryBytes: bigint | undefined;
  /** Of all sizes together; 0 where no limit is set. */
  readonly hugePageBytes: bigint;
}

/** v1 shows "no limit" as the largest multiple of a page that 63 bits have, of a huge one too. */
const noLimitBytes = 1n << 62n;
/** Kernel, admin-guide/cgroup-v2.rst and cgroup-v1/hugetlb.rst; not what is reserved ("rsvd"). */
const pagesFile = /^hugetlb\.\d+[KMG]B\.(?:max|limit_in_bytes)$/;
const memoryFile = /^memory\.(?:max|limit_in_bytes)$/;

/** `parent`: CRI cgroup_parent. Nothing is limited where there is no such group. */
export async function parentLimits(parent: string, manager: CgroupManager): Promise<ParentLimits> {
  if (parent === "") return { memoryBytes: undefined, hugePageBytes: 0n };
  return await limitsIn(await directoriesOf(parent, manager));
}

/** Whether the group above a Box's has less memory or time of processors than the host. */
export async function parentIsBounded(parent: string, manager: CgroupManager): Promise<boolean> {
  return parent !== "" && (await isBoundedIn(await directoriesOf(parent, manager)));
}

/** Of one group, by its directories in the hierarchies. */
export async function isBoundedIn(directories: readonly string[]): Promise<boolean> {
  if ((await limitsIn(directories)).memoryBytes !== undefined) return true;
  for (const directory of directories) {
    for (const name of ["cpu.max", "cpu.cfs_quota_us"]) {
      const [quota = ""] = (await readFile(join(directory, name), "utf8").catch(() => "")).trim().split(" ");
      if (/^\d+$/.test(quota)) return true; // else "max", or -1
    }
  }
  return false;
}

async function directoriesOf(parent: string, manager: CgroupManager): Promise<string[]> {
  const path = manager === "systemd" ? slicePath(sliceOf(parent)) : cgroupParentPath(parent);
  return cgroupHierarchies(await readMountinfo(), true).map(({ mountPoint }) => join(mountPoint, path));
}

/** Of one group, by its directories in the hierarchies. */
export async function limitsIn(directories: readonly string[]): Promise<ParentLimits> {
  let memoryBytes: bigint | undefined;
  let hugePageBytes = 0n;
  for (const directory of directories) {
    for (const name of await readdir(directory).catch(() => [])) {
      if (pagesFile.test(name)) hugePageBytes += (await limitIn(join(directory, name))) ?? 0n;
      if (memoryFile.test(name)) memoryBytes ??= await limitIn(join(directory, name));
    }
  }
  return { memoryBytes, hugePageBytes };
}

async function limitIn(file: string): Promise<bigint | undefined> {
  const text = (await readFile(file, "utf8").catch(() => "")).trim();
  if (!/^\d{1,19}$/.test(text)) return undefined; // "max"
  return BigInt(text) >= noLimitBytes ? undefined : BigInt(text);
}
