import { expect } from "chai";
import { LinuxContainerResources, type ContainerStats } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { containerStatus, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";

describe("Container resources", () => {
  let daemon: Daemon;
  let pod: Pod;
  let one: string;
  let two: string;
  const labels = { app: "stats" };
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      const resources = { memoryLimitInBytes: 64n << 20n, cpuQuota: 50_000n, cpuPeriod: 100_000n };
      [one, two] = await Promise.all([
        startContainer(daemon, pod, { labels, linux: { resources } }),
        startContainer(daemon, pod),
      ]);
      return pod;
    },
  );

  const listed = async (filter?: { id?: string; labelSelector?: Record<string, string> }): Promise<string[]> => {
    const whole = { id: "", podSandboxId: "", labelSelector: {}, ...filter };
    const { stats } = await daemon.cri.call(runtime.listContainerStats, filter === undefined ? {} : { filter: whole });
    return stats.map((found: ContainerStats) => found.attributes?.id ?? "");
  };

  it("are measured: CPU and memory with their times, and what the container has written", async () => {
    await shell(daemon, one, "dd if=/dev/zero of=/tmp/file bs=1M count=3 2>/dev/null; sync");
    const { stats } = await daemon.cri.call(runtime.containerStats, { containerId: one });
    expect(stats?.attributes?.id).to.equal(one);
    expect(stats?.attributes?.metadata).to.deep.equal((await containerStatus(daemon, one)).metadata);
    expect(Number(stats?.cpu?.timestamp ?? 0n)).to.be.greaterThan(1e18);
    expect(Number(stats?.memory?.timestamp ?? 0n)).to.be.greaterThan(1e18);
    expect(Number(stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n)).to.be.greaterThan(0);
    expect(Number(stats?.memory?.workingSetBytes?.value ?? 0n)).to.be.greaterThan(0);
    expect(Number(stats?.writableLayer?.usedBytes?.value ?? 0n)).to.be.at.least(3 << 20);
    expect(stats?.writableLayer?.fsId?.mountpoint).to.match(/^\//);
  });

  it("are listed for all containers, by id and by labels", async () => {
    expect(await listed()).to.include.members([one, two]);
    expect(await listed({ id: two })).to.deep.equal([two]);
    expect(await listed({ labelSelector: labels })).to.deep.equal([one]);
    expect(await listed({ labelSelector: { app: "other" } })).to.deep.equal([]);
  });

  it("are NOT_FOUND for a container that is not there", async () => {
    await failure(daemon.cri.call(runtime.containerStats, { containerId: "0".repeat(64) }), status.NOT_FOUND);
  });

  it("are measured for the pod too: what its Box costs the host, and its containers", async () => {
    const { stats } = await daemon.cri.call(runtime.podSandboxStats, { podSandboxId: pod.id });
    expect(stats?.attributes?.id).to.equal(pod.id);
    expect(stats?.attributes?.metadata).to.deep.equal(pod.config.metadata);
    expect(Number(stats?.linux?.cpu?.timestamp ?? 0n)).to.be.greaterThan(1e18);
    expect(Number(stats?.linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n)).to.be.greaterThan(1e8);
    expect(Number(stats?.linux?.memory?.usageBytes?.value ?? 0n)).to.be.greaterThan(20 << 20);
    expect(Number(stats?.linux?.process?.processCount?.value ?? 0n)).to.be.at.least(2);
    expect(stats?.linux?.containers.map(({ attributes }) => attributes?.id)).to.have.members([one, two]);
    await shell(daemon, one, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    const later = await daemon.cri.call(runtime.listPodSandboxStats, {});
    const [again] = later.stats.filter(({ attributes }) => attributes?.id === pod.id);
    const spent = (of: typeof stats): bigint => of?.linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n;
    expect(spent(again) > spent(stats)).to.equal(true);
    const [streamed] = await daemon.cri.stream(runtime.streamPodSandboxStats, {
      filter: { id: pod.id, labelSelector: {} },
    });
    expect(streamed?.podSandboxStats.map(({ attributes }) => attributes?.id)).to.deep.equal([pod.id]);
    const unknown = daemon.cri.call(runtime.podSandboxStats, { podSandboxId: "0".repeat(64) });
    await failure(unknown, status.NOT_FOUND);
  });

  it("change in place: what is set changes, the rest stays, and the status says so", async () => {
    expect(await shell(daemon, one, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max")).to.equal(
      `${64 << 20}\n50000 100000\n`,
    );
    await daemon.cri.call(runtime.updateContainerResources, {
      containerId: one,
      linux: LinuxContainerResources.fromPartial({ memoryLimitInBytes: 96n << 20n }),
    });
    expect(await shell(daemon, one, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max")).to.equal(
      `${96 << 20}\n50000 100000\n`,
    );
    const found = (await containerStatus(daemon, one)).resources?.linux;
    expect([found?.memoryLimitInBytes, found?.cpuQuota]).to.deep.equal([96n << 20n, 50_000n]);
  });
});
