/** What kubelet serves at /metrics/cadvisor, with its gate PodAndContainerStatsFromCRI. */
import { expect } from "chai";
import type { Metric, MetricDescriptor, PodSandboxMetrics } from "../../src/gen/runtime/v1/api.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { NodeNetwork } from "../support/node-network.js";
import { removeContainer, removePod, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { eventually } from "../support/wait.js";

const mib = 1n << 20n;
/** The node on the pods' bridge. */
const gateway = "10.96.8.1";

/** Those that the validation suite lets a runtime leave out (cri-tools pkg/validate/pod.go). */
const optional = [
  ...["container_hugetlb_max_usage_bytes", "container_hugetlb_usage_bytes", "container_spec_cpu_quota"],
  ...["cpu", "io", "memory"].flatMap((kind) => [
    `container_pressure_${kind}_stalled_seconds_total`,
    `container_pressure_${kind}_waiting_seconds_total`,
  ]),
  ...["container_spec_memory_reservation_limit_bytes", "container_ulimits_soft"],
];
/** Those without a value where no block device is a container's. */
const withoutValue = [
  ...["container_blkio_device_usage_total", "container_fs_reads_bytes_total", "container_fs_reads_total"],
  ...["container_fs_writes_bytes_total", "container_fs_writes_total"],
];
/** And those that have to be there, by the same file. */
const required = `
  blkio_device_usage_total cpu_cfs_periods_total cpu_cfs_throttled_periods_total cpu_cfs_throttled_seconds_total
  cpu_system_seconds_total cpu_usage_seconds_total cpu_user_seconds_total file_descriptors fs_inodes_free
  fs_inodes_total fs_limit_bytes fs_reads_bytes_total fs_reads_total fs_usage_bytes fs_writes_bytes_total
  fs_writes_total last_seen memory_cache memory_failcnt memory_failures_total memory_kernel_usage
  memory_mapped_file memory_max_usage_bytes memory_rss memory_swap memory_usage_bytes memory_working_set_bytes
  network_receive_bytes_total network_receive_errors_total network_receive_packets_dropped_total
  network_receive_packets_total network_transmit_bytes_total network_transmit_errors_total
  network_transmit_packets_dropped_total network_transmit_packets_total oom_events_total processes sockets
  spec_cpu_period spec_cpu_shares spec_memory_limit_bytes spec_memory_swap_limit_bytes start_time_seconds threads
  threads_max`
  .trim()
  .split(/\s+/)
  .map((name) => `container_${name}`);

/** As the suite's. */
const limited = {
  linux: {
    resources: {
      ...{ cpuPeriod: 100_000n, cpuQuota: 20_000n, cpuShares: 1024n },
      ...{ memoryLimitInBytes: 64n * mib, memorySwapLimitInBytes: 64n * mib },
    },
  },
};

describe("metrics of pods", () => {
  let node: NodeNetwork;
  let daemon: Daemon;
  let pod: Pod;
  let container: string;
  before(async () => {
    node = await NodeNetwork.create();
    const ipam = node.ipam("10.96.8.0/24");
    await node.configure([{ type: "bridge", bridge: "pods", isGateway: true, ipam }]);
    daemon = await Daemon.start({ images: [await busybox()], config: node.daemonConfig, nodeNetns: node.netns });
    pod = await runPod(daemon);
    container = await startContainer(daemon, pod, limited);
  });
  after(async () => {
    await removePod(daemon, pod);
    await daemon.remove();
    await node.remove();
  });

  async function metrics(): Promise<PodSandboxMetrics> {
    const { podMetrics } = await daemon.cri.call(runtime.listPodSandboxMetrics, {});
    expect(podMetrics.map(({ podSandboxId }) => podSandboxId)).to.deep.equal([pod.id]);
    const [only] = podMetrics;
    if (only === undefined) throw new Error("no metrics of the pod");
    return only;
  }

  async function keysByName(): Promise<Map<string, MetricDescriptor>> {
    const { descriptors } = await daemon.cri.call(runtime.listMetricDescriptors, {});
    return new Map(descriptors.map((one) => [one.name, one]));
  }

  /** Of a name's metrics that with these labels beyond the first six. */
  function value(all: readonly Metric[], name: string, ...labels: string[]): bigint {
    const found = all.find((one) => one.name === name && one.labelValues.slice(6).join() === labels.join());
    if (found?.value === undefined) throw new Error(`no ${name} with ${labels.join()}`);
    return found.value.value;
  }

  it("ListMetricDescriptors: every name of the suite, with its help and labels (7)", async () => {
    const known = await keysByName();
    expect(required.filter((name) => !known.has(name))).to.deep.equal([]);
    for (const { help, labelKeys } of known.values()) {
      expect(help).to.not.equal("");
      expect(labelKeys.length).to.be.greaterThan(5);
    }
  });

  it("ListPodSandboxMetrics: a value for every descriptor, with labels that fit it (8)", async () => {
    await shell(
      daemon,
      container,
      "mkdir -p /var/disk; for i in 1 2 3 4 5 6 7 8 9 10; do echo hi > /var/disk/$i; done; sync",
    );
    const known = await keysByName();
    const { metrics: ofPod, containerMetrics } = await metrics();
    expect(containerMetrics.map(({ containerId }) => containerId)).to.deep.equal([container]);
    const all = [...ofPod, ...(containerMetrics[0]?.metrics ?? [])];
    const names = new Set(all.map(({ name }) => name));
    const missing = [...known.keys()].filter((name) => !names.has(name));
    expect(missing.filter((name) => !withoutValue.includes(name) && !optional.includes(name))).to.deep.equal([]);
    const series = all.map(({ name, labelValues }) => [name, ...labelValues].join());
    expect(new Set(series).size).to.equal(series.length);
    for (const { name, labelValues } of all) {
      expect(labelValues.length, name).to.equal(known.get(name)?.labelKeys.length);
      expect(labelValues.slice(4, 6), name).to.deep.equal([pod.config.metadata?.name, pod.config.metadata?.namespace]);
    }
  });

  it("ListPodSandboxMetrics: the container's limits, what it uses, what it has open", async () => {
    const command = ["sh", "-c", "head -c 4000000 /dev/zero > /big; while :; do :; done"];
    const busy = await startContainer(daemon, pod, { ...limited, command });
    const ofBusy = async (): Promise<Metric[]> =>
      (await metrics()).containerMetrics.find(({ containerId }) => containerId === busy)?.metrics ?? [];
    // It takes all that its quota lets it have: a second of processor time in five.
    const size = (all: readonly Metric[]): bigint =>
      all.find(({ name }) => name === "container_fs_usage_bytes")?.value?.value ?? 0n;
    const of = await eventually("it has written its file and used a second", 60_000, async () => {
      const all = await ofBusy();
      const seconds = value(all, "container_cpu_usage_seconds_total", "total");
      return seconds > 0n && size(all) >= 4_000_000n ? all : undefined;
    });
    expect(value(of, "container_spec_cpu_quota")).to.equal(20_000n);
    expect(value(of, "container_spec_memory_limit_bytes")).to.equal(64n * mib);
    expect(value(of, "container_cpu_cfs_throttled_periods_total") > 0n).to.equal(true);
    const [usage, peak] = ["container_memory_usage_bytes", "container_memory_max_usage_bytes"].map((name) =>
      value(of, name),
    );
    expect(usage !== undefined && peak !== undefined && usage > 0n && peak >= usage && peak <= 64n * mib).to.equal(
      true,
    );
    expect(value(of, "container_memory_failures_total", "pgfault", "container") > 0n).to.equal(true);
    // The shell, and perhaps still what writes the file.
    for (const name of ["container_processes", "container_threads"]) {
      expect([1n, 2n], name).to.include(value(of, name));
    }
    expect(value(of, "container_file_descriptors") >= 3n).to.equal(true);
    expect(value(of, "container_oom_events_total")).to.equal(0n);
    expect(size(of) < 8_000_000n).to.equal(true);
    const startedAt = Number(value(of, "container_start_time_seconds"));
    expect(Date.now() / 1000 - startedAt).to.be.within(0, 600);
    await removeContainer(daemon, busy);
  });

  it("ListPodSandboxMetrics: the pod's network, and what its Box costs the node", async () => {
    const before = (await metrics()).metrics;
    await shell(daemon, container, `ping -c 3 ${gateway} > /dev/null`);
    const after = (await metrics()).metrics;
    for (const direction of ["receive", "transmit"]) {
      const name = `container_network_${direction}_packets_total`;
      expect(value(after, name, "eth0") - value(before, name, "eth0") >= 3n, direction).to.equal(true);
      expect(value(after, `container_network_${direction}_errors_total`, "eth0")).to.equal(0n);
    }
    expect(value(after, "container_cpu_usage_seconds_total", "total") > 0n).to.equal(true);
    expect(value(after, "container_memory_usage_bytes") > 32n * mib).to.equal(true);
    expect(after[0]?.labelValues.slice(0, 4)).to.deep.equal([daemon.cgroupParent, pod.id, "", ""]);
  });

  it("StreamPodSandboxMetrics: the same, in parts", async () => {
    const parts = await daemon.cri.stream(runtime.streamPodSandboxMetrics, {});
    const ids = parts.flatMap(({ podSandboxMetrics }) => podSandboxMetrics.map(({ podSandboxId }) => podSandboxId));
    expect(ids).to.deep.equal([pod.id]);
  });
});
