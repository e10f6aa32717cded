/**
 * cgroup v2 limits of a container inside its Box.
 * Source: OCI runtime spec config-linux.md, "Control groups"; kernel cgroup-v2.rst.
 */
import { RuntimeError } from "../../base/errors.js";
import type { HugePageLimit, ResourceSpec } from "../container/resource-spec.js";
import type { OciDeviceRule, OciResources } from "./oci.js";

/**
 * cgroup v1 shares (2 to 262144) as v2 weight (1 to 10000), the linear formula of runc. Written as `unified` so that
 * every back end of the agent gives the same weight.
 */
function cpuWeight(shares: bigint): bigint {
  const clamped = shares < 2n ? 2n : shares > 262144n ? 262144n : shares;
  return 1n + ((clamped - 2n) * 9999n) / 262142n;
}

/**
 * Left out on purpose, and no error: cpusets (they number the host's CPUs, not the guest's: `CpuSets` sets them for the
 * Box) and swap limits (the guest has no swap). Huge pages are those of the kernel that the container has: `guestLimits`,
 * `hostLimits`.
 */
export function resourceLimits(resources: ResourceSpec | undefined): OciResources {
  if (resources === undefined) return {};
  const unified = unifiedLimits(resources);
  const cpu = cpuLimit(resources);
  const limit = positive(resources.memoryLimitBytes, "memory_limit_in_bytes");
  return {
    ...(limit === undefined ? {} : { memory: { limit } }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(Object.keys(unified).length === 0 ? {} : { unified }),
  };
}

/** In a guest, whose huge pages have these sizes (KiB); refuses what it has none of. */
export function guestLimits(resources: ResourceSpec | undefined, hugePageKib: readonly bigint[]): OciResources {
  if (resources === undefined) return {};
  checkLists(resources);
  checkUnifiedPages(resources);
  const pages = hugePages(resources, hugePageKib);
  return { ...resourceLimits(resources), ...(pages.length === 0 ? {} : { hugepageLimits: pages }) };
}

/** kubelet sends a limit for every page size of the host, 0 where the container has none of them. */
function hugePages(
  { hugePageLimits }: ResourceSpec,
  has: readonly bigint[],
): { readonly pageSize: string; readonly limit: number }[] {
  const names = new Set(has.map(hugePageName));
  for (const { pageSize, limitBytes } of hugePageLimits) {
    if (limitBytes > 0n && !names.has(pageSize)) refusePages(pageSize, [...names]);
  }
  const known = hugePageLimits.filter(({ pageSize }) => names.has(pageSize));
  return known.map(({ pageSize, limitBytes }) => ({ pageSize, limit: Number(limitBytes) }));
}

/** Throws `invalidArgument`: the guest has none of that size. */
export function refusePages(size: string, names: readonly string[]): never {
  const what = `the Box has no huge pages of ${size.slice(0, 80)}`;
  if (names.length === 0) {
    const hint = "its agent is of an earlier version: recreate the pod";
    throw new RuntimeError("invalidArgument", `${what} to give`, { hint });
  }
  throw new RuntimeError("invalidArgument", `${what}: its kernel has ${names.join(" and ")}`, {
    hint: "ask for another size (hugepages-2Mi), or use a RuntimeClass whose pods share the host's kernel",
  });
}

const kibUnits = ["KB", "MB", "GB"] as const;

/** "2MB", as CRI HugepageLimit.page_size and the kernel's cgroup files have it. */
export function hugePageName(kib: bigint): string {
  let [size, unit] = [kib, 0];
  for (; size >= 1024n && size % 1024n === 0n && unit < kibUnits.length - 1; unit += 1) size /= 1024n;
  return `${size}${kibUnits[unit] ?? ""}`;
}

/** A limit without pages behind it would be none. */
function checkUnifiedPages({ unified }: ResourceSpec): void {
  const name = Object.keys(unified).find((key) => key.startsWith("hugetlb.") && unified[key] !== "0");
  if (name === undefined) return;
  throw new RuntimeError("invalidArgument", `unified ${name.slice(0, 80)}: huge pages can't be asked for this way`, {
    hint: "set hugepage_limits (hugepages-2Mi in the container's resources)",
  });
}

/** The Box's, in the end; here is what is no list at all. */
function checkLists({ cpusetCpus, cpusetMems }: ResourceSpec): void {
  for (const [name, list] of Object.entries({ cpuset_cpus: cpusetCpus, cpuset_mems: cpusetMems })) {
    if (/^(?:\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)?$/.test(list) && !list.split(",").some(isBackwards)) continue;
    throw new RuntimeError("invalidArgument", `${name} "${list.slice(0, 80)}" is no list of numbers`, {
      hint: 'write it like "0-3,7"',
    });
  }
}

/** "3-1" */
function isBackwards(range: string): boolean {
  const [first = "", last = first] = range.split("-");
  return Number(last) < Number(first);
}

/** Clamped to what the kernel takes (proc_pid_oom_score_adj(5)); undefined leaves the agent's choice, 0. */
export function oomScoreAdj(resources: ResourceSpec | undefined): number | undefined {
  if (resources === undefined) return undefined;
  const raw = resources.oomScoreAdj;
  return Number(raw < -1000n ? -1000n : raw > 1000n ? 1000n : raw);
}

/** What is in force after an update: zero and empty members of the wish stay as they were. */
export function mergeResources(now: ResourceSpec | undefined, wish: ResourceSpec): ResourceSpec {
  if (now === undefined) return wish;
  return {
    cpuPeriodUs: wish.cpuPeriodUs === 0n ? now.cpuPeriodUs : wish.cpuPeriodUs,
    cpuQuotaUs: wish.cpuQuotaUs === 0n ? now.cpuQuotaUs : wish.cpuQuotaUs,
    cpuShares: wish.cpuShares === 0n ? now.cpuShares : wish.cpuShares,
    memoryLimitBytes: wish.memoryLimitBytes === 0n ? now.memoryLimitBytes : wish.memoryLimitBytes,
    memorySwapLimitBytes: wish.memorySwapLimitBytes === 0n ? now.memorySwapLimitBytes : wish.memorySwapLimitBytes,
    oomScoreAdj: wish.oomScoreAdj === 0n ? now.oomScoreAdj : wish.oomScoreAdj,
    cpusetCpus: wish.cpusetCpus === "" ? now.cpusetCpus : wish.cpusetCpus,
    cpusetMems: wish.cpusetMems === "" ? now.cpusetMems : wish.cpusetMems,
    hugePageLimits: mergePages(now.hugePageLimits, wish.hugePageLimits),
    unified: { ...now.unified, ...wish.unified },
  };
}

/** A size that is not named keeps its limit. */
function mergePages(now: readonly HugePageLimit[], wish: readonly HugePageLimit[]): HugePageLimit[] {
  return [...new Map([...now, ...wish].map((one) => [one.pageSize, one])).values()];
}

function cpuLimit(resources: ResourceSpec): OciResources["cpu"] {
  if (resources.cpuPeriodUs < 0n) throw new RuntimeError("invalidArgument", "cpu_period is negative");
  if (resources.cpuQuotaUs === 0n) return undefined;
  const period = resources.cpuPeriodUs === 0n ? 100_000n : resources.cpuPeriodUs;
  if (resources.cpuQuotaUs < 0n) return { quota: -1, period: Number(period) };
  if (resources.cpuQuotaUs < 1000n || period < 1000n || period > 1_000_000n) {
    throw new RuntimeError(
      "invalidArgument",
      `cpu quota ${resources.cpuQuotaUs.toString()} in ${period.toString()} us can't be set`,
      { hint: "the quota is at least 1000 us, the period 1000 to 1000000 us" },
    );
  }
  return { quota: Number(resources.cpuQuotaUs), period: Number(period) };
}

function unifiedLimits(resources: ResourceSpec): Record<string, string> {
  const unified: Record<string, string> = {};
  if (resources.cpuShares > 0n) unified["cpu.weight"] = cpuWeight(resources.cpuShares).toString();
  for (const [name, value] of Object.entries(resources.unified)) {
    if (!/^[a-z0-9_]+(\.[a-zA-Z0-9_]+)+$/.test(name) || value.includes("\0")) {
      throw new RuntimeError("invalidArgument", `"${name.slice(0, 80)}" is not a cgroup v2 file name`);
    }
    if (guestHas(name)) unified[name] = value;
  }
  return unified;
}

/** The controllers of the guest that a container may set; the rest speaks of the host's hardware. */
function guestHas(name: string): boolean {
  return /^(cpu|memory|pids|io)\./.test(name) && !name.startsWith("memory.swap.") && !name.startsWith("memory.zswap.");
}

function positive(value: bigint, what: string): number | undefined {
  if (value < 0n) throw new RuntimeError("invalidArgument", `${what} is negative`);
  return value === 0n ? undefined : Number(value);
}

const denyAll: OciDeviceRule = { allow: false, access: "rwm" };

function allowChar(major: number, minor?: number): OciDeviceRule {
  return { allow: true, type: "c", major, ...(minor === undefined ? {} : { minor }), access: "rwm" };
}

/**
 * Every node may be made, and the standard ones used: null, zero, full, random, urandom, tty, console, ptmx and the
 * pseudo terminals. Privileged: every device of the guest.
 */
export function deviceRules(privileged: boolean): OciDeviceRule[] {
  if (privileged) return [{ allow: true, access: "rwm" }];
  return [
    denyAll,
    { allow: true, type: "c", access: "m" },
    { allow: true, type: "b", access: "m" },
    ...[3, 5, 7, 8, 9].map((minor) => allowChar(1, minor)),
    ...[0, 1, 2].map((minor) => allowChar(5, minor)),
    allowChar(136),
  ];
}
