import { availableParallelism, totalmem } from "node:os";
import { RuntimeError } from "../../base/errors.js";
import type { DriverName } from "../../vmm/box.js";
import type { ParentLimits } from "../../vmm/cgroup/parent-limits.js";
import type { ResourceSpec } from "../container/resource-spec.js";
import type { PodSpec } from "./pod-spec.js";

export interface BoxSize {
  readonly vcpus: number;
  readonly memoryMib: number;
}

/** What a pod may use, and what its RuntimeClass adds. */
export type PodLimits = Pick<PodSpec, "resources" | "overhead">;

/** Guest kernel, agent and their caches need this much before a container has anything. */
const leastMemoryMib = 256;
const bytesPerMib = 1_048_576n;
/**
 * What is beside a guest's memory in the same control group, with room to spare (`npm run bench -- overhead`). This much of
 * a RuntimeClass's overhead is not the guest's. Under QEMU it is mostly translated code; under krun the host's kernel has
 * page tables of the guest's memory too, 8 bytes for each 4 KiB.
 */
const besideGuest: Readonly<Record<DriverName, (guestBytes: bigint) => bigint>> = {
  qemu: () => 224n * bytesPerMib,
  krun: (guestBytes) => 16n * bytesPerMib + guestBytes / 512n,
  native: () => 0n,
};
/**
 * From here on a limit is none. cgroup v1 shows "no limit" as the largest multiple of the page (64 KiB at most), and
 * kubelet hands on what it has read there (KR updatePodSandboxResources, for a pod without a memory limit).
 */
const noLimitBytes = (1n << 63n) - 65_536n;
/** CFS period where the request has none (kernel default). */
const usualPeriodUs = 100_000n;

/** `field`: where the limits are in the request. 0 is unset everywhere; a quota of -1 is unlimited. Throws `invalidArgument`. */
export function checkResources(field: string, resources: ResourceSpec | undefined): void {
  if (resources === undefined) return;
  const refuse = (member: string, value: bigint, allowed: string): never => {
    throw new RuntimeError("invalidArgument", `${field}.${member} ${String(value)} is not allowed`, {
      hint: `allowed: ${allowed}`,
    });
  };
  const { cpuPeriodUs: cpuPeriod, cpuQuotaUs: cpuQuota, cpuShares, memoryLimitBytes: memory } = resources;
  if (cpuPeriod !== 0n && (cpuPeriod < 1000n || cpuPeriod > 1_000_000n)) {
    refuse("cpu_period", cpuPeriod, "1000 to 1000000 microseconds, 0 for unset");
  }
  if (cpuQuota < -1n) refuse("cpu_quota", cpuQuota, "0 or more microseconds, -1 for unlimited");
  if (cpuShares < 0n) refuse("cpu_shares", cpuShares, "0 or more");
  if (memory < 0n) refuse("memory_limit_in_bytes", memory, "0 or more bytes");
}

/**
 * A Box has what the pod's containers may use together and the guest's part of the RuntimeClass's overhead, and the
 * configured defaults where the pod sets no limit. It is never given more than the host has: what is over that can't be
 * used anyway.
 */
export function boxSize(limits: PodLimits, standard: BoxSize, driver: DriverName): BoxSize {
  const wanted = wantedSize(limits, driver);
  const memoryMib = wanted.memoryMib > 0n ? wanted.memoryMib : BigInt(standard.memoryMib);
  const vcpus = wanted.vcpus > 0n ? wanted.vcpus : BigInt(standard.vcpus);
  return {
    vcpus: clamp(vcpus, 1, availableParallelism()),
    memoryMib: clamp(memoryMib, leastMemoryMib, Math.floor(totalmem() / Number(bytesPerMib))),
  };
}

/** Of Boxes that are ready before a pod asks: as a pod of that size would have it. */
export function readySize(standard: BoxSize): BoxSize {
  return boxSize({}, standard, "qemu"); // without limits the driver makes no difference
}

/**
 * What the request asks for, rounded up; 0 where it sets no limit. CPU of the overhead is for the VMM's own threads: it
 * makes no processor for the guest.
 */
export function wantedSize(
  { resources, overhead }: PodLimits,
  driver: DriverName,
): { readonly vcpus: bigint; readonly memoryMib: bigint } {
  const limitBytes = resources?.memoryLimitBytes ?? 0n;
  const memoryBytes = limitBytes < noLimitBytes ? limitBytes : 0n;
  const milliCpus = milliCpusOf(resources);
  return {
    memoryMib: memoryBytes > 0n ? toMib(memoryBytes + guestPart(memoryBytes, overhead, driver)) : 0n,
    vcpus: milliCpus > 0n ? (milliCpus + 999n) / 1000n : 0n,
  };
}

/**
 * A size with room for the pod's huge pages, which are no part of its memory limits: as far as the control group that the
 * whole VM lives in may have more than the size, and up to `mostMib` (docs/adr/0044).
 */
export function withHugePages(
  size: BoxSize,
  { memoryBytes, hugePageBytes }: ParentLimits,
  driver: DriverName,
  mostMib = Number.POSITIVE_INFINITY,
): BoxSize {
  const wanted = size.memoryMib + Number(toMib(hugePageBytes));
  const roomFor = (bytes: bigint): number => Number((bytes - besideGuest[driver](bytes)) / bytesPerMib);
  const room = memoryBytes === undefined ? wanted : roomFor(memoryBytes);
  const hostMib = Math.floor(totalmem() / Number(bytesPerMib));
  return { ...size, memoryMib: Math.max(size.memoryMib, Math.min(wanted, room, mostMib, hostMib)) };
}

/**
 * kubelet sets the pod's control group to limits and overhead together: a guest of all that would be killed from outside
 * once it has touched its memory (docs/adr/0059, 0062).
 */
function guestPart(limitBytes: bigint, overhead: ResourceSpec | undefined, driver: DriverName): bigint {
  const bytes = overhead?.memoryLimitBytes ?? 0n;
  const beside = besideGuest[driver](limitBytes + bytes);
  return bytes > beside ? bytes - beside : 0n;
}

function milliCpusOf(resources: ResourceSpec | undefined): bigint {
  if (resources === undefined || resources.cpuQuotaUs <= 0n) return 0n;
  return (resources.cpuQuotaUs * 1000n) / (resources.cpuPeriodUs === 0n ? usualPeriodUs : resources.cpuPeriodUs);
}

function toMib(bytes: bigint): bigint {
  return (bytes + bytesPerMib - 1n) / bytesPerMib;
}

function clamp(value: bigint, least: number, most: number): number {
  if (value < BigInt(least)) return least;
  return value > BigInt(most) ? Math.max(least, most) : Number(value);
}
