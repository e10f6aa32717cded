import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { PodSandboxState } from "../../../../src/gen/runtime/v1/api.js";
import { listPodSandbox } from "../../../../src/cri/rpc/list-pod-sandbox.js";
import { podSandboxStatus } from "../../../../src/cri/rpc/pod-sandbox-status.js";
import { removePodSandbox } from "../../../../src/cri/rpc/remove-pod-sandbox.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import { eventually } from "../../../support/wait.js";
import { call, failureOf, makeWorld, podRequest, type World } from "../../runtime/pod/fakes.js";

const unknownId = "f".repeat(64);

describe("the end of a sandbox", () => {
  let world: World;
  let podSandboxId: string;

  beforeEach(async () => {
    world = await makeWorld();
    ({ podSandboxId } = await runPodSandbox(podRequest(), call(), world.deps));
  });

  afterEach(async () => {
    await world.remove();
  });

  const stop = (id = podSandboxId) => stopPodSandbox({ podSandboxId: id }, call(), world.deps);
  const remove = (id = podSandboxId) => removePodSandbox({ podSandboxId: id }, call(), world.deps);
  const state = async () =>
    (await podSandboxStatus({ podSandboxId, verbose: false }, call(), world.deps)).status?.state;

  it("by StopPodSandbox stops the containers, then the Box, drops the namespace, and shows NOTREADY", async () => {
    await stop();
    expect(world.containers.told).to.deep.equal(["stop", "box exited: stopped"]);
    expect([world.boxes.live.size, world.kernel.netns.size]).to.deep.equal([0, 0]);
    expect(await state()).to.equal(PodSandboxState.SANDBOX_NOTREADY);
  });

  it("may be asked for again and again, and for what does not exist", async () => {
    await stop();
    await stop();
    await remove();
    await remove();
    expect(await stop(unknownId)).to.deep.equal({});
    expect(await remove(unknownId)).to.deep.equal({});
  });

  it("is NOTREADY for others before anything is stopped", async () => {
    let seen: unknown;
    world.containers.beforeStop = async () => {
      seen = await state();
    };
    await stop();
    expect(seen).to.equal(PodSandboxState.SANDBOX_NOTREADY);
  });

  it("comes also when the containers can't be stopped", async () => {
    world.containers.beforeStop = () => Promise.reject(new RuntimeError("unavailable", "the agent is silent"));
    await stop();
    expect(world.boxes.live.size).to.equal(0);
    expect(world.containers.told).to.deep.equal(["box exited: stopped"]);
  });

  it("by two calls at once happens once", async () => {
    await Promise.all([stop(), remove(), remove(), stop()]);
    expect((await listPodSandbox({ filter: undefined }, call(), world.deps)).items).to.deep.equal([]);
    expect((await failureOf(state())).code).to.equal("notFound");
  });

  it("by the Box's death shows NOTREADY with the reason, and tells the containers", async () => {
    const [box] = world.boxes.live.values();
    box?.die("vmm killed by signal 9");
    await eventually("told of the end", 1000, () => (world.containers.told.length > 0 ? true : undefined));
    expect(await state()).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(world.containers.told).to.deep.equal(["box exited: vmm killed by signal 9"]);
    await remove();
    expect(world.kernel.netns.size).to.equal(0);
  });

  it("makes the Box unavailable to who would use it, with the reason", async () => {
    const sandbox = world.deps.sandboxes.require(podSandboxId);
    await stop();
    const failed = await failureOf(sandbox.liveBox(new AbortController().signal));
    expect([failed.code, failed.message]).to.deep.equal([
      "failedPrecondition",
      `sandbox ${podSandboxId.slice(0, 12)} is not ready: stopped by request`,
    ]);
  });
});
