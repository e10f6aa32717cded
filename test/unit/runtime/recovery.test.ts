import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { boxId, newBoxId } from "../../../src/base/ids.js";
import { untilAborted } from "../../../src/base/or-aborted.js";
import { PodSandboxState } from "../../../src/gen/runtime/v1/api.js";
import { recover } from "../../../src/runtime/recovery.js";
import { listPodSandbox } from "../../../src/cri/rpc/list-pod-sandbox.js";
import { podSandboxStatus } from "../../../src/cri/rpc/pod-sandbox-status.js";
import { runPodSandbox } from "../../../src/cri/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../src/cri/rpc/stop-pod-sandbox.js";
import { eventually } from "../../support/wait.js";
import { refuseRecords } from "../../support/full-disk.js";
import { call, failureOf, makeWorld, podRequest, type World } from "./pod/fakes.js";

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

  it("shows a sandbox as NOTREADY as soon as the disk takes the record of its Box's death", async () => {
    refuseRecords(world.deps.sandboxes);
    [...world.boxes.live.values()][0]?.die("killed");
    await eventually("NOTREADY", 10_000, async () => {
      return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    await eventually("its Box is discarded", 2000, () => (world.boxes.live.size === 0 ? true : undefined));
    expect(world.log.filter((line) => line.includes("sandbox lost its box"))).to.have.length(1);
    expect(world.log.filter((line) => line.includes("it is tried again"))).to.have.length(1);
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

  it("takes a Box back that is found after its sandbox was given up", async () => {
    const adopt = world.boxes.adopt.bind(world.boxes);
    let found = (): void => undefined;
    const late = new Promise<void>((resolve) => (found = resolve));
    world.boxes.adopt = async (id) => {
      const box = await adopt(id);
      await late;
      return box;
    };
    await world.restart();
    const { config } = world.deps;
    const shortly = { ...config, cni: { ...config.cni, timeoutMs: -59_900 } };
    await recover({ ...world.deps, config: shortly });
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    found();
    const sandbox = world.deps.sandboxes.require(podSandboxId);
    await world.deps.sandboxes.locks.runWhenFree(sandbox.id, AbortSignal.timeout(5_000), () => Promise.resolve());
    expect([sandbox.box, world.boxes.live.size]).to.deep.equal([undefined, 0]);
  });

  describe("with a paused sandbox", () => {
    beforeEach(async () => {
      await world.deps.sandboxes.update(world.deps.sandboxes.require(podSandboxId), { pausedAtNs: 7n });
    });

    for (const [how, after] of [
      ["and says so", () => Promise.reject(new RuntimeError("unavailable", "the vmm has ended"))],
      ["in the moment that it stands still", () => Promise.resolve()],
    ] as const) {
      it(`shows it as NOTREADY whose Box dies while it is stopped again, ${how}`, async () => {
        world.boxes.beforePause = (box) => {
          box.die("killed");
          return after();
        };
        await restart();
        await eventually("NOTREADY", 1000, async () => {
          return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
        });
        expect(world.deps.sandboxes.require(podSandboxId).record.end?.reason).to.include("killed");
        expect(world.boxes.live.size).to.equal(0);
      });
    }
  });

  it("shows it as NOTREADY as soon as the disk takes the record", async () => {
    world.boxes.adopt = () => Promise.reject(new Error("no such luck"));
    world.containers.told.length = 0;
    await world.restart();
    refuseRecords(world.deps.sandboxes);
    await recover(world.deps);
    await eventually("NOTREADY", 5000, async () => {
      return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    expect(world.deps.sandboxes.require(podSandboxId).record.end?.reason).to.include("no such luck");
  });

  it("takes its containers up, and the other sandboxes, where a service of the host fails", async () => {
    await world.restart();
    world.deps.skills.takeUp = () => {
      throw new Error("no skills today");
    };
    world.containers.told.length = 0;
    await recover(world.deps);
    expect(world.containers.told).to.deep.equal(["take up"]);
    expect(world.log.join("")).to.include("no skills today");
  });

  it("asks a guest that is too busy to answer again, until its containers are taken up", async () => {
    await world.restart();
    let asked = 0;
    world.boxes.beforeAnswer = () => (++asked < 3 ? Promise.reject(new Error("no answer")) : Promise.resolve());
    await recover(world.deps);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect([asked, ...world.containers.told]).to.deep.equal([3, "take up"]);
    expect(world.log.join("")).to.include("can't be taken up yet");
  });

  it("asks no more when the Box is over", async () => {
    await world.restart();
    let asked = 0;
    world.boxes.beforeAnswer = async (_id, signal) => {
      asked += 1;
      await untilAborted(signal);
    };
    const recovered = recover(world.deps);
    await eventually("asked", 5_000, () => (asked > 0 ? true : undefined));
    for (const box of world.boxes.live.values()) box.die("killed");
    await recovered;
    await eventually("NOTREADY", 5_000, async () => {
      return (await status())?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    expect(asked).to.equal(1);
  });

  describe("beside a guest that does not answer", () => {
    let silent: string;
    let recovered: Promise<void>;

    beforeEach(async () => {
      silent = podSandboxId;
      for (let other = 0; other < 40; other++) {
        const metadata = { name: `other-${String(other)}`, namespace: "shop", uid: `u-${String(other)}`, attempt: 0 };
        await runPodSandbox(podRequest({ metadata }), call(), world.deps);
      }
      world.containers.told.length = 0;
      await world.restart();
      world.boxes.beforeAnswer = async (id, signal) => {
        if (id === silent) await untilAborted(signal);
      };
      recovered = recover(world.deps);
      const others = world.deps.sandboxes.all().filter(({ id }) => id !== silent);
      await Promise.all(others.map((one) => one.whenSettled(new AbortController().signal)));
    });

    it("takes all others up, and drops the connection that nothing is heard on", async () => {
      expect(world.containers.told).to.deep.equal(Array.from({ length: 40 }, () => "take up"));
      await eventually("hung up", 10_000, () => (world.boxes.hungUp.length > 0 ? true : undefined));
      expect(new Set(world.boxes.hungUp)).to.deep.equal(new Set([silent]));
      world.boxes.beforeAnswer = () => Promise.resolve();
      await recovered;
      expect(world.containers.told.length).to.equal(41);
    });

    it("keeps calls that need it waiting for as long as they like, and lets its pod be stopped meanwhile", async () => {
      const sandbox = world.deps.sandboxes.require(silent);
      const caller = new AbortController();
      const waiting = failureOf(sandbox.liveBox(caller.signal));
      caller.abort(new RuntimeError("deadlineExceeded", "waited long enough"));
      expect((await waiting).message).to.equal("waited long enough");
      await stopPodSandbox({ podSandboxId: silent }, call(), world.deps);
      expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      await recovered;
      expect((await failureOf(sandbox.liveBox(call().signal))).message).to.include("stopped by request");
    });
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
    expect(await readdir(join(world.directory, "root/records/sandboxes"))).to.deep.equal([]);
    await runPodSandbox(podRequest(), call(), world.deps);
  });

  it("discards Boxes, namespaces and files that no record names, and no others", async () => {
    const stray = newBoxId();
    await world.boxes.boot(
      { id: stray, vcpus: 1, memoryMib: 256, netnsPath: "", tap: null, cgroupParent: "" },
      new AbortController().signal,
    );
    const netnsName = join(world.directory, "s/netns", stray.slice(0, 24));
    await writeFile(netnsName, "");
    world.kernel.netns.add(netnsName);
    await mkdir(join(world.directory, "s/sandboxes", stray));
    await restart();
    expect([...world.boxes.live.keys()]).to.deep.equal([podSandboxId]);
    expect(world.kernel.netns.has(netnsName)).to.equal(false);
    expect(await readdir(join(world.directory, "s/sandboxes"))).to.deep.equal([podSandboxId]);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
  });

  it("discards the namespace of a ready Box whose directory had gone when its daemon ended", async () => {
    const netnsName = join(world.directory, "s/netns", newBoxId().slice(0, 24));
    await writeFile(netnsName, "");
    world.kernel.netns.add(netnsName);
    await restart();
    expect(world.kernel.netns.has(netnsName)).to.equal(false);
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
  });

  it("discards the others where one can't be discarded", async () => {
    const strays = [newBoxId(), newBoxId(), newBoxId()];
    for (const id of strays) {
      const spec = { id, vcpus: 1, memoryMib: 256, netnsPath: "", tap: null, cgroupParent: "" };
      await world.boxes.boot(spec, new AbortController().signal);
      const netnsName = join(world.directory, "s/netns", id.slice(0, 24));
      await writeFile(netnsName, "");
      world.kernel.netns.add(netnsName);
    }
    const netns = new Set(strays.map((id) => join(world.directory, "s/netns", id.slice(0, 24))));
    const stays = strays[0];
    const discard = world.boxes.discard.bind(world.boxes);
    world.boxes.discard = (id) => (id === stays ? Promise.reject(new Error("it stays")) : discard(id));
    const removeNetns = world.kernel.removeNetns.bind(world.kernel);
    const [first] = [...netns].sort();
    world.kernel.removeNetns = (path) =>
      path === first ? Promise.reject(new Error("it stays, too")) : removeNetns(path);
    await restart();
    expect([...world.boxes.live.keys()]).to.have.members([podSandboxId, stays]);
    expect([...world.kernel.netns].filter((path) => netns.has(path))).to.deep.equal([first]);
    expect(world.log.filter((line) => line.includes("it stays"))).to.have.length(2);
  });

  it("leaves alone what is ready for pods, which is taken up before anything is discarded", async () => {
    const ready = newBoxId();
    await world.boxes.boot(
      { id: ready, vcpus: 1, memoryMib: 256, netnsPath: "", tap: null, cgroupParent: "" },
      new AbortController().signal,
    );
    const netnsName = join(world.directory, "s/netns", ready.slice(0, 24));
    await writeFile(netnsName, "");
    world.kernel.netns.add(netnsName);
    world.boxes.pool.known.push(ready, boxId(podSandboxId));
    await restart();
    expect(world.boxes.pool.told).to.deep.equal(["adopt: nobody's", "adopt: a pod's"]);
    expect([...world.boxes.live.keys()]).to.have.members([podSandboxId, ready]);
    expect(world.kernel.netns.has(netnsName)).to.equal(true);
  });

  it("sets an unreadable record aside, names it, and serves the others", async () => {
    const bad = `${"0".repeat(64)}.json`;
    await writeFile(join(world.directory, "root/records/sandboxes", bad), "{");
    await restart();
    expect((await status())?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(world.log.join("")).to.include(bad);
  });
});
