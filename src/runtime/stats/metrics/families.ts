/**
 * The metrics that kubelet serves at `/metrics/cadvisor` from CRI, under the names that cAdvisor gave them.
 * Source: google/cadvisor metrics/prometheus.go for names and labels; cri-tools pkg/validate/pod.go for which of them a
 * runtime has to have. Values are whole numbers, seconds too.
 */

/** Every metric has them, in this order; what one of a pod has no value for is empty. As in kubelet's own labels. */
export const baseLabels = ["id", "name", "image", "container", "pod", "namespace"] as const;

export interface Family {
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** After the base labels. */
  readonly labels: readonly string[];
}

function counter(help: string, ...labels: string[]): Family {
  return { type: "counter", help, labels };
}

function gauge(help: string, ...labels: string[]): Family {
  return { type: "gauge", help, labels };
}

const families = {
  container_cpu_usage_seconds_total: counter("Processor time used; of a pod, all that it costs the node.", "cpu"),
  container_cpu_user_seconds_total: counter("Processor time used in user mode."),
  container_cpu_system_seconds_total: counter("Processor time used in the kernel that it runs on."),
  container_cpu_cfs_periods_total: counter("Periods in which a quota was in force."),
  container_cpu_cfs_throttled_periods_total: counter("Periods in which the quota was used up."),
  container_cpu_cfs_throttled_seconds_total: counter("Time for which the quota held processes up."),
  container_memory_usage_bytes: gauge("Memory in use, page cache included; of a pod, all that it takes of the node."),
  container_memory_working_set_bytes: gauge("Memory in use less the page cache that was not used of late."),
  container_memory_rss: gauge("Anonymous memory; of a pod, all that it takes of the node."),
  container_memory_cache: gauge("Page cache."),
  container_memory_kernel_usage: gauge("Memory that the kernel that it runs on uses for it."),
  container_memory_mapped_file: gauge("Files mapped into memory."),
  container_memory_swap: gauge("Swap in use."),
  container_memory_max_usage_bytes: gauge("The most memory that has been in use."),
  container_memory_failcnt: counter("How often the memory limit was hit."),
  container_memory_failures_total: counter("Page faults.", "failure_type", "scope"),
  container_memory_total_active_file_bytes: gauge("Page cache that was used of late."),
  container_memory_total_inactive_file_bytes: gauge("Page cache that was not used of late."),
  container_oom_events_total: counter("Processes that the kernel has killed for memory."),
  container_network_receive_bytes_total: counter("Bytes received.", "interface"),
  container_network_receive_packets_total: counter("Packets received.", "interface"),
  container_network_receive_packets_dropped_total: counter("Packets dropped on their way in.", "interface"),
  container_network_receive_errors_total: counter("Errors in receiving.", "interface"),
  container_network_transmit_bytes_total: counter("Bytes sent.", "interface"),
  container_network_transmit_packets_total: counter("Packets sent.", "interface"),
  container_network_transmit_packets_dropped_total: counter("Packets dropped on their way out.", "interface"),
  container_network_transmit_errors_total: counter("Errors in sending.", "interface"),
  container_fs_usage_bytes: gauge(
    "Size of the container's own layer; the device is a directory of the host.",
    "device",
  ),
  container_fs_limit_bytes: gauge("Size of the file system that the layer is on.", "device"),
  container_fs_inodes_free: gauge("Free inodes of that file system.", "device"),
  container_fs_inodes_total: gauge("Inodes of that file system.", "device"),
  container_fs_reads_bytes_total: counter("Bytes that the pod has read from the node's disks.", "device"),
  container_fs_writes_bytes_total: counter("Bytes that the pod has written to the node's disks.", "device"),
  container_fs_reads_total: counter("Reads of block devices: not counted, there are no values.", "device"),
  container_fs_writes_total: counter("Writes of block devices: not counted, there are no values.", "device"),
  container_blkio_device_usage_total: counter(
    "Bytes by block device: not counted, there are no values.",
    ...["device", "major", "minor", "operation"],
  ),
  container_processes: gauge("Processes."),
  container_threads: gauge("Threads."),
  container_threads_max: gauge("The most threads there may be; 0 for no limit."),
  container_file_descriptors: gauge("Open file descriptors."),
  container_sockets: gauge("Open file descriptors that are sockets."),
  container_ulimits_soft: gauge("Soft limits of the container's first process.", "ulimit"),
  container_spec_cpu_period: gauge("Period of the processor quota, in microseconds."),
  container_spec_cpu_quota: gauge("Processor quota in a period, in microseconds; no value without one."),
  container_spec_cpu_shares: gauge("Processor shares."),
  container_spec_memory_limit_bytes: gauge("Memory limit; 0 for none."),
  container_spec_memory_swap_limit_bytes: gauge("Swap limit: always 0, pods are given no swap."),
  container_spec_memory_reservation_limit_bytes: gauge("Memory kept for it; 0 for none."),
  container_start_time_seconds: gauge("When it was started, in seconds since 1970."),
  container_last_seen: gauge("When it was last measured, in seconds since 1970."),
  container_pressure_cpu_waiting_seconds_total: counter("Time for which some tasks waited for a processor."),
  container_pressure_cpu_stalled_seconds_total: counter("Time for which all tasks waited for a processor."),
  container_pressure_memory_waiting_seconds_total: counter("Time for which some tasks waited for memory."),
  container_pressure_memory_stalled_seconds_total: counter("Time for which all tasks waited for memory."),
  container_pressure_io_waiting_seconds_total: counter("Time for which some tasks waited for a disk."),
  container_pressure_io_stalled_seconds_total: counter("Time for which all tasks waited for a disk."),
} satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;

export function familyOf(name: FamilyName): Family {
  return families[name];
}

/** What there may be, with all of its labels. */
export interface Descriptor {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export function descriptors(): Descriptor[] {
  return Object.entries<Family>(families).map(([name, { help, labels }]) => ({
    name,
    help,
    labels: [...baseLabels, ...labels],
  }));
}
