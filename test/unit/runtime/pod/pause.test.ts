import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { pausePod } from "../../../../src/runtime/pod/pause.js";
import { call, failureOf, makeWorld, podRequest, type World } from "./fakes.js";

describe("a pod that is paused", () => {
  let world: World;

  beforeEach(async () => {
    world = await makeWorld();
  });
  afterEach(async () => {
    await world.remove();
  });

  it("does what came meanwhile where its Box can't stand still", async () => {
    const { podSandboxId } = await runPodSandbox(podRequest(), call(), world.deps);
    const pod = world.deps.sandboxes.require(podSandboxId);
    let done = 0;
    world.boxes.beforePause = () => {
      pod.whenAwake(() => (done += 1));
      expect(done).to.equal(0);
      return Promise.reject(new RuntimeError("unavailable", "it does not freeze"));
    };
    const failure = await failureOf(pausePod(pod, world.deps, new AbortController().signal));
    expect(failure.message).to.include("it does not freeze");
    expect(pod.isPaused).to.equal(false);
    expect(done).to.equal(1);
  });
});
