import { availableParallelism } from "node:os";
import { expect } from "chai";
import type { LinuxContainerResources } from "../../../../src/gen/runtime/v1/api.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import { updatePodSandboxResources } from "../../../../src/cri/rpc/update-pod-sandbox-resources.js";
import { call, failureOf, linuxConfig, makeWorld, podRequest, resources, type World } from "../../runtime/pod/fakes.js";

const mib = 1n << 20n;

describe("UpdatePodSandboxResources", () => {
  let world: World;
  let podSandboxId: string;
  beforeEach(async () => {
    world = await makeWorld();
    const made = { memoryLimitInBytes: 512n * mib, cpuQuota: 50_000n, cpuPeriod: 100_000n };
    const linux = linuxConfig({ resources: resources(made) });
    ({ podSandboxId } = await runPodSandbox(podRequest({ linux }), call(), world.deps));
  });
  afterEach(async () => {
    await world.remove();
  });

  const update = (change: Partial<LinuxContainerResources>) =>
    updatePodSandboxResources({ podSandboxId, overhead: undefined, resources: resources(change) }, call(), world.deps);

  it("grants what the Box of the pod can hold, less and no limit included", async () => {
    for (const change of [
      {},
      { memoryLimitInBytes: 512n * mib },
      { memoryLimitInBytes: mib },
      { cpuQuota: 100_000n },
      { memoryLimitInBytes: 9_223_372_036_854_771_712n }, // kubelet's "no limit", as cgroup v1 shows it
    ]) {
      expect(await update(change)).to.deep.equal({});
    }
  });

  it("refuses what it can't, and says what it has and what to do", async () => {
    const memory = await failureOf(update({ memoryLimitInBytes: 513n * mib }));
    expect([memory.code, memory.message]).to.deep.equal([
      "failedPrecondition",
      `sandbox ${podSandboxId.slice(0, 12)} can't grow to 513 MiB: its Box has 512 (a running microVM keeps its size: ` +
        "recreate the pod, or give it its largest size from the start)",
    ]);
    expect((await failureOf(update({ cpuQuota: 150_000n }))).message).to.match(/grow to 2 CPUs: its Box has 1/);
  });

  describe("of a Box that its handler has given its size", () => {
    const handlers = (mib: number, more = "") => `[handlers.large]\nvcpus = 1\nmemory_mib = ${String(mib)}\n${more}`;
    const allowed = 'annotations = ["memory_mib"]\n';
    let large: World;
    beforeEach(async () => {
      large = await makeWorld({ config: handlers(1024, allowed) });
    });
    afterEach(async () => {
      await large.remove();
    });
    const made = async (config: Parameters<typeof podRequest>[0]): Promise<string> => {
      const request = { ...podRequest(config), runtimeHandler: "large" };
      return (await runPodSandbox(request, call(), large.deps)).podSandboxId;
    };
    const ask = (id: string, change: Partial<LinuxContainerResources>) => {
      const request = { podSandboxId: id, overhead: undefined, resources: resources(change) };
      return updatePodSandboxResources(request, call(), large.deps);
    };

    it("grants the handler's default, and no more", async () => {
      const id = await made({});
      expect(await ask(id, { memoryLimitInBytes: 1024n * mib })).to.deep.equal({});
      const beyond = await failureOf(ask(id, { memoryLimitInBytes: 1025n * mib }));
      expect(beyond.message).to.contain("can't grow to 1025 MiB: its Box has 1024");
    });

    it("grants what the pod's annotation says, over its limits", async () => {
      const limits = { linux: linuxConfig({ resources: resources({ memoryLimitInBytes: 300n * mib }) }) };
      const id = await made({ ...limits, annotations: { "a3s-box/memory-mib": "700" } });
      expect(await ask(id, { memoryLimitInBytes: 700n * mib })).to.deep.equal({});
      expect((await failureOf(ask(id, { memoryLimitInBytes: 701n * mib }))).code).to.equal("failedPrecondition");
    });

    it("grants what the Box has, whatever the tables say since the daemon came back", async () => {
      const id = await made({});
      const { box } = large.deps.sandboxes.require(id);
      await large.restart(handlers(4096));
      large.deps.sandboxes.require(id).setBox(box);
      expect((await failureOf(ask(id, { memoryLimitInBytes: 1025n * mib }))).code).to.equal("failedPrecondition");
      await large.restart("");
      large.deps.sandboxes.require(id).setBox(box);
      expect(await ask(id, { memoryLimitInBytes: 1024n * mib })).to.deep.equal({});
    });
  });

  it("grants again what was over the host's when the pod was made, and no more", async () => {
    const cpus = BigInt(availableParallelism()) + 2n;
    const config = { linux: linuxConfig({ resources: resources({ cpuQuota: cpus * 100_000n }) }) };
    const metadata = { name: "wide", namespace: "shop", uid: "u-2", attempt: 0 };
    const { podSandboxId: id } = await runPodSandbox(podRequest({ ...config, metadata }), call(), world.deps);
    const ask = (quota: bigint) => {
      const request = { podSandboxId: id, overhead: undefined, resources: resources({ cpuQuota: quota }) };
      return updatePodSandboxResources(request, call(), world.deps);
    };
    expect(await ask(cpus * 100_000n)).to.deep.equal({});
    expect((await failureOf(ask(cpus * 100_000n + 1_000n))).code).to.equal("failedPrecondition");
  });

  it("is invalidArgument for nonsense, notFound for a stranger, failedPrecondition once it is stopped", async () => {
    expect((await failureOf(update({ cpuPeriod: 5n }))).code).to.equal("invalidArgument");
    const stranger = { podSandboxId: "f".repeat(64), overhead: undefined, resources: undefined };
    expect((await failureOf(updatePodSandboxResources(stranger, call(), world.deps))).code).to.equal("notFound");
    await stopPodSandbox({ podSandboxId }, call(), world.deps);
    expect((await failureOf(update({}))).code).to.equal("failedPrecondition");
  });
});
