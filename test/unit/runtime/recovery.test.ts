import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { newSandboxId } from "../../../src/base/ids.js";
import { PodSandboxState } from "../../../src/gen/runtime/v1/api.js";
import { recover } from "../../../src/runtime/recovery.js";
import { listPodSandbox } from "../../../src/runtime/rpc/list-pod-sandbox.js";
import { podSandboxStatus } from "../../../src/runtime/rpc/pod-sandbox-status.js";
import { runPodSandbox } from "../../../src/runtime/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../src/runtime/rpc/stop-pod-sandbox.js";
import { eventually } from "../../support/wait.js";
import { call, makeWorld, podRequest, type World } from "./sandbox/fakes.js";

describe("a restarted daemon", () => {
  let world: World;
  let podSandboxId: string;

  beforeEach(async () => {
    world = await makeWorld();
    ({ podSandboxId } = await runPodSandbox(podRequest({ labels: { a: "b" } }), call(), world.deps));
  });

  afterEach(async () => {
    await world.remove();
  });

  const restart = async () => {
    world.containers.told.length = 0;
    await world.restart();
    await recover(world.deps);
  };
  const status = async () => (await podSandboxStatus({ podSandboxId, verbose: false }, call(), world.deps)).status;

  it("shows a sandbox as it was, with its Box, and notices the Box's death", async () => {
    const before = await status();
    await restart();
    expect(await status()).to.deep.equal(before);
    const box = await world.deps.sandboxes.require(podSandboxId).liveBox(new AbortController().signal);
    expect(box.handle.processes[0]?.pid).to.equal(4711);
    world.boxes.live.get(box.id)?.die("killed");
    await eventually("NOTREADY", 1000, async () => {
      return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
  });

  it("shows a sandbox as NOTREADY whose Box has gone meanwhile", async () => {
    world.boxes.live.clear();
    await restart();
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(world.containers.told).to.deep.equal(["box exited: its box was gone when the daemon started", "recover"]);
  });

  it("shows a sandbox as NOTREADY whose Box can't be taken up, and names the reason", async () => {
    world.boxes.adopt = () => Promise.reject(new Error("no such luck"));
    await restart();
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(world.deps.sandboxes.require(podSandboxId).record.end?.reason).to.include("no such luck");
    expect(world.boxes.live.size).to.equal(0);
  });

  it("asks a guest that is too busy to answer again, until its containers are taken up", async () => {
    world.containers.told.length = 0;
    await world.restart();
    const takeUp = world.containers.recoverOf.bind(world.containers);
    let asked = 0;
    world.containers.recoverOf = () => (++asked < 3 ? Promise.reject(new Error("no answer")) : takeUp());
    await recover(world.deps);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
    await eventually("taken up", 10_000, () => (world.containers.told.includes("recover") ? true : undefined));
    expect(asked).to.equal(3);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
  });

  it("asks no more when the Box is over", async () => {
    await world.restart();
    let asked = 0;
    world.containers.recoverOf = () => {
      asked += 1;
      return Promise.reject(new Error("no answer"));
    };
    await recover(world.deps);
    for (const box of world.boxes.live.values()) box.die("killed");
    await eventually("NOTREADY", 5_000, async () => {
      return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    await delay(1_500);
    expect(asked).to.equal(1);
  });

  it("keeps a stopped sandbox, and takes back what its stop had left", async () => {
    await stopPodSandbox({ podSandboxId }, call(), world.deps);
    await restart();
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(world.containers.told).to.deep.equal(["recover"]);
  });

  it("discards what was half made", async () => {
    const sandbox = world.deps.sandboxes.require(podSandboxId);
    await world.deps.sandboxes.update(sandbox, { readyAtNs: undefined });
    await restart();
    expect((await listPodSandbox({ filter: undefined }, call(), world.deps)).items).to.deep.equal([]);
    expect([world.boxes.live.size, world.kernel.netns.size]).to.deep.equal([0, 0]);
    expect(await readdir(join(world.folder, "root/records/sandboxes"))).to.deep.equal([]);
    await runPodSandbox(podRequest(), call(), world.deps);
  });

  it("discards Boxes, namespaces and files that no record names, and no others", async () => {
    const stray = newSandboxId();
    await world.boxes.boot(
      { id: stray, vcpus: 1, memoryMib: 256, netnsPath: "", tap: null, cgroupParent: "" },
      new AbortController().signal,
    );
    const netnsName = join(world.folder, "s/netns", stray.slice(0, 24));
    await writeFile(netnsName, "");
    world.kernel.netns.add(netnsName);
    await mkdir(join(world.folder, "root/sandboxes", stray));
    await restart();
    expect([...world.boxes.live.keys()]).to.deep.equal([podSandboxId]);
    expect(world.kernel.netns.has(netnsName)).to.equal(false);
    expect(await readdir(join(world.folder, "root/sandboxes"))).to.deep.equal([podSandboxId]);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
  });

  it("sets an unreadable record aside, names it, and serves the others", async () => {
    const bad = `${"0".repeat(64)}.json`;
    await writeFile(join(world.folder, "root/records/sandboxes", bad), "{");
    await restart();
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(world.log.join("")).to.include(bad);
  });
});
