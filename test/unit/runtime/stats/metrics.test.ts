import { expect } from "chai";
import { SessionStats } from "../../../../src/gen/agent/v1/agent.js";
import { resourceSpecOf } from "../../../../src/cri/map/resources.js";
import { LinuxContainerResources } from "../../../../src/gen/runtime/v1/api.js";
import { containerSamples, type ContainerFacts } from "../../../../src/runtime/stats/metrics/container-samples.js";
import { descriptors } from "../../../../src/runtime/stats/metrics/families.js";
import { Samples, type Sample } from "../../../../src/runtime/stats/metrics/samples.js";

const labels = { id: "/kube/pod/c", name: "c", image: "i", container: "main", pod: "p", namespace: "n" };
const fileSystem = { mountpoint: "/store", sizeBytes: 1000n, inodes: 10n, inodesFree: 4n };
const pressure = { someNs: 3_000_000_000n, fullNs: 1_000_000_000n };

function facts(part: Partial<ContainerFacts> = {}): ContainerFacts {
  return {
    ...{ labels, fileSystem, nowNs: 7_900_000_000n, startedAtNs: 5_100_000_000n, layerBytes: 12n },
    ...{ resources: undefined, session: undefined },
    ...part,
  };
}

/** By name and what follows the base labels. */
function values(metrics: readonly Sample[]): Record<string, bigint | undefined> {
  const named = metrics.map(({ name, labelValues, value }) => {
    return [[name, ...labelValues.slice(Object.keys(labels).length)].join(" "), value] as const;
  });
  expect(new Set(named.map(([name]) => name)).size, "no series twice").to.equal(named.length);
  return Object.fromEntries(named);
}

describe("metrics over CRI", () => {
  it("have descriptors with a help, and labels that begin alike", () => {
    const all = descriptors();
    expect(new Set(all.map(({ name }) => name)).size).to.equal(all.length);
    for (const { name, help, labels: keys } of all) {
      expect(name).to.match(/^container_[a-z_]+$/);
      expect(help, name).to.match(/\.$/);
      expect(keys.slice(0, 6), name).to.deep.equal(Object.keys(labels));
    }
  });

  it("say what is true of every pod, whether it is a machine or one of the host's", () => {
    for (const { name, help } of descriptors()) expect(help, name).to.not.match(/\b(?:Box|guest|VM|microVM|VMM)\b/i);
  });

  it("of a container have as many label values as their descriptors have keys", () => {
    const session = SessionStats.fromPartial({
      cpuPressure: pressure,
      memoryPressure: pressure,
      ioPressure: pressure,
      processes: { openFilesLimit: 5n },
    });
    const keys = new Map<string, number>(descriptors().map((one) => [one.name, one.labels.length]));
    const metrics = containerSamples(facts({ session }));
    for (const { name, labelValues } of metrics) expect(labelValues.length, name).to.equal(keys.get(name));
    expect(metrics[0]?.labelValues).to.deep.equal(["/kube/pod/c", "c", "i", "main", "p", "n"]);
  });

  it("of a container say what the guest counts, in whole seconds", () => {
    const session = SessionStats.fromPartial({
      ...{
        cpuUsageNs: 2_999_999_999n,
        cpuUserNs: 1_000_000_000n,
        cpuThrottledNs: 4_500_000_000n,
        cpuThrottledPeriods: 9n,
      },
      ...{ memoryPeakBytes: 77n, memoryLimitHits: 3n, pageFaults: 6n, majorPageFaults: 2n, pids: 4n, pidsLimit: 100n },
      ...{
        memoryPressure: pressure,
        processes: { processes: 2n, descriptors: 8n, sockets: 1n, openFilesLimit: 1024n },
      },
    });
    expect(values(containerSamples(facts({ session })))).to.deep.include({
      "container_cpu_usage_seconds_total total": 2n,
      container_cpu_user_seconds_total: 1n,
      container_cpu_cfs_throttled_seconds_total: 4n,
      container_cpu_cfs_throttled_periods_total: 9n,
      container_memory_max_usage_bytes: 77n,
      container_memory_failcnt: 3n,
      "container_memory_failures_total pgfault container": 6n,
      "container_memory_failures_total pgmajfault hierarchy": 2n,
      container_threads: 4n,
      container_threads_max: 100n,
      container_processes: 2n,
      container_file_descriptors: 8n,
      container_sockets: 1n,
      "container_ulimits_soft max_open_files": 1024n,
      container_pressure_memory_waiting_seconds_total: 3n,
      container_pressure_memory_stalled_seconds_total: 1n,
    });
  });

  it("of a guest without pressure figures have none", () => {
    const names = Object.keys(values(containerSamples(facts({ session: SessionStats.fromPartial({}) }))));
    expect(names.filter((name) => name.includes("pressure"))).to.deep.equal([]);
  });

  it("of a container whose Box does not answer are what the host knows", () => {
    const resources = resourceSpecOf(
      LinuxContainerResources.fromPartial({
        ...{ cpuPeriod: 50_000n, cpuQuota: 20_000n, cpuShares: 512n, memoryLimitInBytes: 64n },
        unified: { "memory.min": "32" },
      }),
    );
    expect(values(containerSamples(facts({ resources })))).to.deep.equal({
      container_last_seen: 7n,
      container_start_time_seconds: 5n,
      container_spec_cpu_period: 50_000n,
      container_spec_cpu_quota: 20_000n,
      container_spec_cpu_shares: 512n,
      container_spec_memory_limit_bytes: 64n,
      container_spec_memory_swap_limit_bytes: 0n,
      container_spec_memory_reservation_limit_bytes: 32n,
      "container_fs_usage_bytes /store": 12n,
      "container_fs_limit_bytes /store": 1000n,
      "container_fs_inodes_total /store": 10n,
      "container_fs_inodes_free /store": 4n,
    });
    expect(values(containerSamples(facts()))).to.deep.include({
      container_spec_cpu_period: 100_000n,
      container_spec_cpu_shares: 1024n,
      container_spec_memory_limit_bytes: 0n,
    });
  });

  it("hold at most what CRI has room for, whatever a guest says", () => {
    const samples = new Samples(labels);
    samples.put("container_threads", 2n ** 65n);
    expect(samples.all[0]?.value).to.equal(2n ** 64n - 1n);
  });
});
