/**
 * CRI ContainerStats from the agent's counters and the snapshot's size on the host.
 * Source: api.proto, ContainerStats; what kubelet needs of it: kubelet.md 1.2, ListContainerStats.
 */
import { nowNs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import type { SessionStats } from "../../gen/agent/v1/agent.js";
import type { ContainerStats, ContainerStatsFilter, FilesystemUsage } from "../../gen/runtime/v1/api.js";
import type { Container } from "../container/container.js";
import { fitsFilter } from "../container/status.js";
import type { Deps } from "../deps.js";
import { askBoxes, type BoxAnswers } from "./ask-boxes.js";

/** What has figures: the running containers that fit. */
export function measured(filter: ContainerStatsFilter | undefined, deps: Deps): Container[] {
  const whole = filter === undefined ? undefined : { ...filter, state: undefined };
  return deps.containers.list().filter((one) => one.state === "running" && fitsFilter(one, whole));
}

/** One per container, in their order; a container of a Box that does not answer has no counters in it. */
export async function statsOf(
  containers: readonly Container[],
  deps: Deps,
  signal: AbortSignal,
): Promise<ContainerStats[]> {
  const answers = await askBoxes(new Set(containers.map(({ sandboxId }) => sandboxId)), deps, signal);
  return await fromAnswers(containers, answers, deps);
}

/** As `statsOf`, of Boxes that have answered already. */
export async function fromAnswers(
  containers: readonly Container[],
  answers: BoxAnswers,
  deps: Deps,
): Promise<ContainerStats[]> {
  const { mountpoint } = await deps.images.containerUsage();
  return await Promise.all(
    containers.map(async (container) => ({
      ...fromSession(
        container,
        answers.get(container.sandboxId)?.sessions.find(({ sessionId }) => sessionId === container.id),
      ),
      writableLayer: await writableLayer(container, mountpoint, deps),
    })),
  );
}

function fromSession(container: Container, session: SessionStats | undefined): ContainerStats {
  const { metadata, labels, annotations } = container.config;
  const attributes = { id: container.id, metadata, labels, annotations };
  const timestamp = nowNs();
  const bytes = (value: bigint | undefined): { value: bigint } => ({ value: value ?? 0n });
  const limit = session?.memoryLimitBytes ?? 0n;
  const workingSet = session?.memoryWorkingSetBytes ?? 0n;
  return {
    attributes,
    cpu: {
      timestamp,
      usageCoreNanoSeconds: bytes(session?.cpuUsageNs),
      usageNanoCores: undefined,
      psi: undefined,
    },
    memory: {
      timestamp,
      workingSetBytes: bytes(workingSet),
      availableBytes: limit > 0n ? bytes(limit > workingSet ? limit - workingSet : 0n) : undefined,
      usageBytes: bytes(session?.memoryUsageBytes),
      rssBytes: bytes(session?.memoryRssBytes),
      pageFaults: bytes(session?.pageFaults),
      majorPageFaults: bytes(session?.majorPageFaults),
      psi: undefined,
    },
    writableLayer: undefined,
    swap: { timestamp, swapAvailableBytes: bytes(0n), swapUsageBytes: bytes(0n) },
    io: undefined,
  };
}

/** Size of the container's own layer. A tree that changes under the walk is counted as far as it was seen. */
export async function writableLayer(container: Container, mountpoint: string, deps: Deps): Promise<FilesystemUsage> {
  const { upper } = container.record;
  let usage = { bytes: 0n, inodes: 0n };
  try {
    if (upper !== undefined) usage = await deps.native.treeUsage(upper);
  } catch (thrown) {
    deps.log.debug({ containerId: container.id, err: messageOf(thrown) }, "writable layer not measured");
  }
  return {
    timestamp: nowNs(),
    fsId: { mountpoint },
    usedBytes: { value: usage.bytes },
    inodesUsed: { value: usage.inodes },
  };
}
