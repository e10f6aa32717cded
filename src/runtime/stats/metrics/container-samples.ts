/** Metrics of one container, from the agent's counters and what the host knows of it. */
import type { SessionStats } from "../../../gen/agent/v1/agent.js";
import type { ResourceSpec } from "../../container/resource-spec.js";
import { Samples, type BaseLabels, type Sample } from "./samples.js";

/** Of the file system that writable layers are on. */
export interface LayerFileSystem {
  readonly mountpoint: string;
  readonly sizeBytes: bigint;
  readonly inodes: bigint;
  readonly inodesFree: bigint;
}

export interface ContainerFacts {
  readonly labels: BaseLabels;
  readonly nowNs: bigint;
  readonly startedAtNs: bigint;
  readonly resources: ResourceSpec | undefined;
  readonly layerBytes: bigint;
  readonly fileSystem: LayerFileSystem;
  /** Undefined when the Box did not answer. */
  readonly session: SessionStats | undefined;
}

/** What the kernel takes without a wish: 100 ms; the weight of 1024 shares. */
const defaultPeriodUs = 100_000n;
const defaultShares = 1024n;

export function containerSamples(facts: ContainerFacts): Sample[] {
  const samples = new Samples(facts.labels);
  samples.putSeconds("container_last_seen", facts.nowNs);
  samples.putSeconds("container_start_time_seconds", facts.startedAtNs);
  putSpec(samples, facts.resources);
  putFileSystem(samples, facts);
  const { session } = facts;
  if (session !== undefined) {
    putCpu(samples, session);
    putMemory(samples, session);
    putProcesses(samples, session);
    putPressure(samples, session);
  }
  return samples.all;
}

function putSpec(samples: Samples, resources: ResourceSpec | undefined): void {
  const positive = (value: bigint | undefined): bigint | undefined =>
    value !== undefined && value > 0n ? value : undefined;
  samples.put("container_spec_cpu_period", positive(resources?.cpuPeriodUs) ?? defaultPeriodUs);
  samples.put("container_spec_cpu_quota", positive(resources?.cpuQuotaUs));
  samples.put("container_spec_cpu_shares", positive(resources?.cpuShares) ?? defaultShares);
  samples.put("container_spec_memory_limit_bytes", positive(resources?.memoryLimitBytes) ?? 0n);
  samples.put("container_spec_memory_swap_limit_bytes", 0n);
  const reserved = resources?.unified["memory.min"] ?? "";
  samples.put("container_spec_memory_reservation_limit_bytes", /^\d{1,18}$/.test(reserved) ? BigInt(reserved) : 0n);
}

function putFileSystem(samples: Samples, { fileSystem, layerBytes }: ContainerFacts): void {
  const device = fileSystem.mountpoint;
  samples.put("container_fs_usage_bytes", layerBytes, device);
  samples.put("container_fs_limit_bytes", fileSystem.sizeBytes, device);
  samples.put("container_fs_inodes_total", fileSystem.inodes, device);
  samples.put("container_fs_inodes_free", fileSystem.inodesFree, device);
}

function putCpu(samples: Samples, session: SessionStats): void {
  samples.putSeconds("container_cpu_usage_seconds_total", session.cpuUsageNs, "total");
  samples.putSeconds("container_cpu_user_seconds_total", session.cpuUserNs);
  samples.putSeconds("container_cpu_system_seconds_total", session.cpuSystemNs);
  samples.put("container_cpu_cfs_periods_total", session.cpuPeriods);
  samples.put("container_cpu_cfs_throttled_periods_total", session.cpuThrottledPeriods);
  samples.putSeconds("container_cpu_cfs_throttled_seconds_total", session.cpuThrottledNs);
}

function putMemory(samples: Samples, session: SessionStats): void {
  samples.put("container_memory_usage_bytes", session.memoryUsageBytes);
  samples.put("container_memory_working_set_bytes", session.memoryWorkingSetBytes);
  samples.put("container_memory_rss", session.memoryRssBytes);
  samples.put("container_memory_cache", session.memoryCacheBytes);
  samples.put("container_memory_kernel_usage", session.memoryKernelBytes);
  samples.put("container_memory_mapped_file", session.memoryMappedFileBytes);
  samples.put("container_memory_swap", session.memorySwapBytes);
  samples.put("container_memory_max_usage_bytes", session.memoryPeakBytes);
  samples.put("container_memory_failcnt", session.memoryLimitHits);
  samples.put("container_memory_total_active_file_bytes", session.memoryActiveFileBytes);
  samples.put("container_memory_total_inactive_file_bytes", session.memoryInactiveFileBytes);
  samples.put("container_oom_events_total", session.oomKills);
  // A cgroup of version 2 counts what is below it too, so that both scopes are the same.
  for (const scope of ["container", "hierarchy"]) {
    samples.put("container_memory_failures_total", session.pageFaults, "pgfault", scope);
    samples.put("container_memory_failures_total", session.majorPageFaults, "pgmajfault", scope);
  }
}

function putProcesses(samples: Samples, { pids, pidsLimit, processes }: SessionStats): void {
  samples.put("container_threads", pids);
  samples.put("container_threads_max", pidsLimit);
  samples.put("container_processes", processes?.processes);
  samples.put("container_file_descriptors", processes?.descriptors);
  samples.put("container_sockets", processes?.sockets);
  const limit = processes?.openFilesLimit ?? 0n;
  if (limit > 0n) samples.put("container_ulimits_soft", limit, "max_open_files");
}

function putPressure(samples: Samples, { cpuPressure, memoryPressure, ioPressure }: SessionStats): void {
  samples.putSeconds("container_pressure_cpu_waiting_seconds_total", cpuPressure?.someNs);
  samples.putSeconds("container_pressure_cpu_stalled_seconds_total", cpuPressure?.fullNs);
  samples.putSeconds("container_pressure_memory_waiting_seconds_total", memoryPressure?.someNs);
  samples.putSeconds("container_pressure_memory_stalled_seconds_total", memoryPressure?.fullNs);
  samples.putSeconds("container_pressure_io_waiting_seconds_total", ioPressure?.someNs);
  samples.putSeconds("container_pressure_io_stalled_seconds_total", ioPressure?.fullNs);
}
