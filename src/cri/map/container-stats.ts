/** Source: api.proto, ContainerStats; what kubelet needs of it: pkg/kubelet/stats/cri_stats_provider.go. */
import type { ContainerStats, ContainerStatsFilter, FilesystemUsage } from "../../gen/runtime/v1/api.js";
import type { Container } from "../../runtime/container/container.js";
import type { ContainerUsage, LayerUsage } from "../../runtime/stats/container-stats.js";
import type { Deps } from "../deps.js";
import { fitsFilter } from "./container-status.js";

/** What is measured: the running containers that fit. */
export function measured(filter: ContainerStatsFilter | undefined, deps: Deps): Container[] {
  const whole = filter === undefined ? undefined : { ...filter, state: undefined };
  return deps.containers.list().filter((one) => one.state === "running" && fitsFilter(one, whole));
}

export function containerStatsOf({ container, atNs: timestamp, session, layer }: ContainerUsage): ContainerStats {
  const { name, attempt, labels, annotations } = container.spec;
  const bytes = (value: bigint | undefined): { value: bigint } => ({ value: value ?? 0n });
  const limit = session?.memoryLimitBytes ?? 0n;
  const workingSet = session?.memoryWorkingSetBytes ?? 0n;
  return {
    attributes: {
      id: container.id,
      metadata: { name, attempt },
      labels: { ...labels },
      annotations: { ...annotations },
    },
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
    writableLayer: layerStats(layer),
    swap: { timestamp, swapAvailableBytes: bytes(0n), swapUsageBytes: bytes(0n) },
    io: undefined,
  };
}

function layerStats({ atNs: timestamp, mountpoint, bytes, inodes }: LayerUsage): FilesystemUsage {
  return { timestamp, fsId: { mountpoint }, usedBytes: { value: bytes }, inodesUsed: { value: inodes } };
}
