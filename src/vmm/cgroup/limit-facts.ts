/** What the host's cgroups can do for pods that have no machine of their own. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { readMountinfo, type MountLine } from "../../base/mountinfo.js";

/** cgroups(7): cgroup.kill came with Linux 5.14. */
const leastKernel = [5, 14] as const;

/**
 * Throws `failedPrecondition` where pods of the host can't be: what kills and tracks their containers is cgroup v2. It may
 * be empty (hybrid): the limits are then those of v1.
 */
export function requireUnifiedCgroup(mounts: readonly MountLine[], kernelRelease: string): void {
  const stageName = "open native driver";
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  if (major < leastKernel[0] || (major === leastKernel[0] && minor < leastKernel[1])) {
    const hint = 'boot a newer kernel, or take the handlers with driver = "native" out of the configuration';
    throw new RuntimeError(
      "failedPrecondition",
      `Linux ${kernelRelease} has no cgroup.kill: 5.14 is the first with it`,
      {
        stage: stageName,
        hint,
      },
    );
  }
  if (mounts.some(({ type }) => type === "cgroup2")) return;
  throw new RuntimeError("failedPrecondition", "cgroup v2 is not mounted: this host has cgroup v1 alone", {
    stage: stageName,
    hint:
      "boot with systemd.unified_cgroup_hierarchy=1, or beside v1: mkdir /sys/fs/cgroup/unified, then " +
      "mount -t cgroup2 none /sys/fs/cgroup/unified",
  });
}

/** What limits can be set to on this host. */
export interface LimitFacts {
  /** All controllers are those of cgroup v2. */
  readonly isUnified: boolean;
  readonly hugePages: boolean;
}

export async function limitFacts(): Promise<LimitFacts> {
  const mounts = await readMountinfo();
  const unified = mounts.find(({ type }) => type === "cgroup2")?.target ?? "";
  const now = (await readFile(join(unified, "cgroup.controllers"), "utf8").catch(() => "")).trim().split(" ");
  return limitFactsOf(mounts, now);
}

/** With both versions mounted runc sets limits in v1 alone, though v2 has what no hierarchy of v1 has taken. */
export function limitFactsOf(
  mounts: readonly Pick<MountLine, "type" | "superOptions">[],
  unifiedControllers: readonly string[],
): LimitFacts {
  const old = mounts.filter(({ type }) => type === "cgroup").flatMap(({ superOptions }) => superOptions);
  const isUnified = !old.includes("memory");
  return { isUnified, hugePages: (isUnified ? unifiedControllers : old).includes("hugetlb") };
}
