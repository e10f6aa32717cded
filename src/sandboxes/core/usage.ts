import { sleep } from "../../base/stage.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import { boundedDisk, type BoundedDisk } from "../../runtime/stats/bounded-disk.js";
import { sandboxUsageOf, type PodUsage as EngineUsage } from "../../runtime/stats/pod-stats.js";
import type { SandboxUsage } from "./sandbox.js";
import { viewOf, type LiveSandbox } from "./view.js";

/** Between two readings of the CPU, where there is no earlier one to compare with. */
const firstSpanMs = 200;
/** Readings closer together say little. */
const shortestSpanNs = 100_000_000n;
const mib = 1_048_576;

interface Reading {
  readonly atNs: bigint;
  readonly cpuNs: bigint;
}

interface Found {
  readonly usage: EngineUsage;
  /** Undefined where nothing bounds it. */
  readonly disk: BoundedDisk | undefined;
}

/** What sandboxes use, and how busy each has been since it was last asked about. */
export class UsageMeter {
  /** As long as there is the container: sandboxes end in many ways. */
  readonly #last = new WeakMap<Container, Reading>();

  async read(live: LiveSandbox, engine: Deps, signal: AbortSignal): Promise<SandboxUsage> {
    const { container } = live;
    const before = this.#last.get(container) ?? (await this.#first(live, engine, signal));
    const [usage, disk] = await Promise.all([usageOf(live, engine, signal), boundedDisk(container, engine)]);
    const now = { atNs: usage.atNs, cpuNs: usage.cpuNs };
    if (now.atNs - before.atNs >= shortestSpanNs) this.#last.set(container, now);
    return figures(live, { usage, disk }, before);
  }

  async #first(live: LiveSandbox, engine: Deps, signal: AbortSignal): Promise<Reading> {
    const { atNs, cpuNs } = await usageOf(live, engine, signal);
    await sleep(firstSpanMs, signal);
    return { atNs, cpuNs };
  }
}

async function usageOf({ pod }: LiveSandbox, engine: Deps, signal: AbortSignal): Promise<EngineUsage> {
  const [usage] = await sandboxUsageOf([pod], engine, signal);
  if (usage === undefined) throw new Error("no usage of a pod"); // one in, one out
  return usage;
}

/** Of the guest what it says itself: what it has cached is not used up. */
function figures(live: LiveSandbox, { usage, disk }: Found, before: Reading): SandboxUsage {
  const { vcpus, memoryMib, diskMib } = viewOf(live);
  const [container] = usage.containers;
  const spanNs = Number(usage.atNs - before.atNs);
  const busyNs = Number(usage.cpuNs - before.cpuNs);
  const total = memoryMib * mib;
  const bounded = (bytes: bigint | undefined): number => Math.min(Math.max(Number(bytes ?? 0n), 0), total);
  return {
    atMs: Number(usage.atNs / 1_000_000n),
    vcpus,
    cpuPercent: spanNs <= 0 ? 0 : Math.min(Math.max((busyNs / spanNs) * 100, 0), vcpus * 100),
    // A guest that stands still says nothing: it is what its Box has of the host.
    memoryUsedBytes: bounded(live.pod.isPaused ? usage.memoryBytes : container?.session?.memoryWorkingSetBytes),
    memoryTotalBytes: total,
    memoryCacheBytes: bounded(container?.session?.memoryCacheBytes),
    diskUsedBytes: Number(disk?.usedBytes ?? container?.layer.bytes ?? 0n),
    diskTotalBytes: disk === undefined ? diskMib * mib : Number(disk.totalBytes),
  };
}
