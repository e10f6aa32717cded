import { expect } from "chai";
import type { LinuxContainerResources } from "../../../../src/gen/runtime/v1/api.js";
import { runPodSandbox } from "../../../../src/runtime/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../../src/runtime/rpc/stop-pod-sandbox.js";
import { updatePodSandboxResources } from "../../../../src/runtime/rpc/update-pod-sandbox-resources.js";
import { call, failureOf, linuxConfig, makeWorld, podRequest, resources, type World } from "../sandbox/fakes.js";

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

  it("is invalidArgument for nonsense, notFound for a stranger, failedPrecondition once it is stopped", async () => {
    expect((await failureOf(update({ cpuPeriod: 5n }))).code).to.equal("invalidArgument");
    const stranger = { podSandboxId: "f".repeat(64), overhead: undefined, resources: undefined };
    expect((await failureOf(updatePodSandboxResources(stranger, call(), world.deps))).code).to.equal("notFound");
    await stopPodSandbox({ podSandboxId }, call(), world.deps);
    expect((await failureOf(update({}))).code).to.equal("failedPrecondition");
  });
});
