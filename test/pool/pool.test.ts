/** Boxes that are ready before a pod asks for one: who gets them, what becomes of them, and what is left of them (docs/adr/0134). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { boxDirectoryAt, readBoxRecord, type BoxRecord } from "../../src/vmm/box-directory.js";
import { runtime } from "../support/cri-client.js";
import { cgroupHierarchies, Daemon } from "../support/daemon.js";
import { FaultDirectory } from "../support/faults/fault-directory.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { NodeNetwork } from "../support/node-network.js";
import { podStatus, removePod, runPod, shell, startContainer, vmmPid, type Pod } from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

/** `A3S_POOL_KILLS=20`: as often the daemon is killed amid pods that come and go. */
const kills = Number(process.env["A3S_POOL_KILLS"] ?? "1");
/** Their Boxes have another kernel's command line. */
const others = 'container_runtime = "crun"';
const wanted = 2;
const memoryMib = 320;

interface PoolInfo {
  readonly boxes: readonly { readonly name: string; readonly wanted: number; readonly ready: number }[];
  readonly failure: string;
}

describe("the pool of ready Boxes", function () {
  this.timeout(limit(120_000));
  let daemon: Daemon;
  let node: NodeNetwork;
  let faults: FaultDirectory;
  let atStart: MachineState;

  const bridge = { type: "bridge", bridge: "pods", isGateway: true };
  const usualNetwork = (): object => ({ ...bridge, ipam: node.ipam("10.96.31.0/24") });
  const config = (more = "", ready = `[{ vcpus = 1, memory_mib = ${memoryMib}, count = ${wanted} }]`): string =>
    `${node.daemonConfig}\n[sandbox]\nready_least_free_mib = 256\n${more}\n[handlers.quick]\nready = ${ready}\n[log]\nlevel = "debug"\n`;

  before(async () => {
    node = await NodeNetwork.create();
    await node.plugin("refuses", `if (command === "ADD") process.exit(1);`);
    await node.configure([usualNetwork()]);
    faults = await FaultDirectory.make();
    const environment = { A3S_FAULTS: faults.path };
    const images = [await busybox()];
    daemon = await Daemon.start({ images, config: config("", "[]"), nodeNetns: node.netns, environment });
    atStart = await daemon.machine();
    await daemon.reconfigure(config());
  });

  after(async () => {
    try {
      await daemon.reconfigure(config("", "[]")); // an earlier daemon's are no good to one that wants none
      await expectSameMachine(daemon.scope, atStart, 60_000);
    } finally {
      await daemon.remove();
      await node.remove();
      await faults[Symbol.asyncDispose]();
    }
  });

  async function info(): Promise<PoolInfo> {
    const { info: all } = await daemon.cri.call(runtime.status, { verbose: true });
    return JSON.parse(all["pool"] ?? '{"boxes":[],"failure":""}') as PoolInfo;
  }

  async function atLeast(count: number): Promise<void> {
    await eventually(`${count} ready Boxes`, 60_000, async () => {
      const { boxes, failure: why } = await info();
      if (why !== "") throw new Error(why);
      return boxes.reduce((sum, { ready }) => sum + ready, 0) >= count ? true : undefined;
    });
  }

  async function records(): Promise<BoxRecord[]> {
    const parent = join(daemon.state, "boxes");
    const found = await Promise.all(
      (await readdir(parent)).map((name) => readBoxRecord(boxDirectoryAt(join(parent, name))).catch(() => undefined)),
    );
    return found.flatMap((record) => record ?? []);
  }

  /** Of those that are the pool's by their records. */
  async function readyIds(): Promise<string[]> {
    return (await records()).flatMap(({ id, pool }) => (pool === undefined ? [] : [id])).sort();
  }

  const run = async (memory = memoryMib): Promise<Pod> => {
    const resources = { memoryLimitInBytes: BigInt(memory) << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };
    return await runPod(daemon, { linux: { resources } }, "quick");
  };

  async function refused(call: Promise<unknown>): Promise<void> {
    const outcome = await call.then(
      () => "made",
      () => "refused",
    );
    expect(outcome).to.equal("refused");
  }

  async function groupsNamed(id: string): Promise<string[]> {
    const found: string[] = [];
    for (const hierarchy of await cgroupHierarchies()) {
      for (const parent of [daemon.cgroupParent, "/a3s-box/pool"]) {
        const names = await readdir(join(hierarchy, parent)).catch(() => []);
        found.push(...names.filter((name) => name.includes(id)).map((name) => join(hierarchy, parent, name)));
      }
    }
    return found;
  }

  /** What a Box has on this machine. */
  async function tracesOf(id: string): Promise<string[]> {
    const name = id.slice(0, 24);
    const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(name));
    const places = await Promise.all(
      ["boxes", "netns"].map(async (area) =>
        (await readdir(join(daemon.state, area))).filter((one) => one === name).map((one) => `${area}/${one}`),
      ),
    );
    const processes: string[] = [];
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (line.includes(name)) processes.push(`process ${pid}: ${line.replaceAll("\0", " ")}`);
    }
    return [...lines, ...places.flat(), ...processes, ...(await groupsNamed(id))];
  }

  async function nothingOf(id: string): Promise<void> {
    await eventually(`nothing of ${id}`, 30_000, async () => {
      const traces = await tracesOf(id);
      if (traces.length > 0) throw new Error(`\n  ${traces.join("\n  ")}`);
      return true;
    });
  }

  /** Of this daemon: groups of Boxes whose pods name no parent are other daemons' as well. */
  async function troubles(): Promise<unknown[]> {
    const { stdout } = await daemon.command("check", "--running", "--json");
    const all = JSON.parse(stdout) as { readonly kind: string; readonly what: string }[];
    return all.filter(
      ({ kind, what }) => kind !== "cgroup" || /\/a3s-box\/pool\//.test(what) || what.includes(daemon.cgroupParent),
    );
  }

  async function noTroubles(): Promise<void> {
    expect(await troubles()).to.deep.equal([]);
  }

  it("is filled behind the daemon's start, and known to `check --running` and `debug bundle`", async () => {
    await atLeast(wanted);
    const [ready] = (await info()).boxes;
    expect(ready).to.deep.include({ wanted, ready: wanted });
    expect(ready?.name).to.match(new RegExp(`^(?:qemu|krun)-1x${memoryMib}$`));
    await noTroubles();
    const log = await daemon.logTail(100_000);
    const layered = `"layered":${String(ready?.name.startsWith("qemu"))}`; // libkrun's file server is none for such roots
    expect(log)
      .to.match(new RegExp(`${layered}.*"ready Box warmed up"`))
      .and.to.not.contain("could not be warmed up");
    const bundle = await daemon.command("debug bundle", "--output", join(daemon.logs, "bundle.tar.gz"));
    expect(bundle.stdout).to.not.contain("not in it: pool.json");
  });

  it("gives a pod a Box whose id is then the pod's, in the pod's own group and network", async () => {
    const ready = await readyIds();
    const pod = await run();
    expect(ready).to.include(pod.id);
    expect(await readyIds()).to.not.include(pod.id);
    const groups = await groupsNamed(pod.id);
    expect(groups).to.not.be.empty;
    for (const group of groups) expect(group).to.contain(daemon.cgroupParent);
    const vmm = await vmmPid(daemon, pod);
    for (const line of (await readFile(`/proc/${String(vmm)}/cgroup`, "utf8")).trim().split("\n")) {
      if (/:(?:memory|cpu|pids|cpuset|cpuacct|)(?::|,)/.test(line)) expect(line).to.match(new RegExp(`${pod.id}$`));
    }
    const { network } = await podStatus(daemon, pod.id);
    const container = await startContainer(daemon, pod);
    expect(await shell(daemon, container, "ip -4 address show eth0")).to.contain(network?.ip);
    expect(await shell(daemon, container, "hostname")).to.equal(`${pod.config.metadata?.name ?? ""}\n`);
    await noTroubles();
    await removePod(daemon, pod);
    await nothingOf(pod.id);
  });

  it("gives the last one to one of two pods that come at once; the other boots, and so does one with another size", async () => {
    await eventually("one is left, or two are there again", 30_000, async () =>
      (await readyIds()).length > 0 ? true : undefined,
    );
    const ready = await readyIds();
    const pods = await Promise.all([...ready.map(() => run(256)), run(256), run(memoryMib * 2)]);
    expect(pods.filter(({ id }) => ready.includes(id))).to.have.lengthOf(ready.length);
    expect(new Set(pods.map(({ id }) => id)).size).to.equal(pods.length);
    for (const { id } of pods) {
      expect((await podStatus(daemon, id)).state).to.equal(PodSandboxState.SANDBOX_READY);
    }
    await Promise.all(pods.map((pod) => removePod(daemon, pod)));
    for (const { id } of pods) await nothingOf(id);
  });

  it("never has a Box again that a pod has had: one whose network fails is gone", async () => {
    await atLeast(1);
    const ready = await readyIds();
    await node.configure([{ type: "refuses" }]);
    try {
      await refused(run());
    } finally {
      await node.configure([usualNetwork()]);
    }
    const left = await readyIds();
    const [gone = "none"] = ready.filter((id) => !left.includes(id));
    await nothingOf(gone);
    await noTroubles();
  });

  it("has another Box come up, in the same call, for one that does not answer", async () => {
    await atLeast(1);
    const boxes = (await records()).filter(({ pool }) => pool !== undefined);
    for (const { processes } of boxes) process.kill(processes[0]?.pid ?? 0, "SIGSTOP");
    const pod = await run();
    expect(boxes.map(({ id }) => id)).to.include(pod.id);
    expect(boxes.flatMap(({ processes }) => processes.map(({ pid }) => pid))).to.not.include(await vmmPid(daemon, pod));
    expect(await shell(daemon, await startContainer(daemon, pod), "echo up")).to.equal("up\n");
    expect(await daemon.logTail()).to.contain("a ready Box could not be had; another one comes up");
    for (const { id, processes } of boxes) if (id !== pod.id) process.kill(processes[0]?.pid ?? 0, "SIGCONT");
    await removePod(daemon, pod);
    await nothingOf(pod.id);
  });

  it("has none whose VMM has died", async () => {
    await atLeast(1);
    const [box] = (await records()).filter(({ pool }) => pool !== undefined);
    if (box === undefined) throw new Error("none is ready");
    process.kill(box.processes[0]?.pid ?? 0, "SIGKILL");
    const pod = await run();
    expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
    await removePod(daemon, pod);
    await nothingOf(box.id);
  });

  it("is taken up by the next daemon as it is", async () => {
    await atLeast(wanted);
    const before = await readyIds();
    await daemon.stop("SIGKILL");
    await noTroubles();
    await daemon.launch();
    await atLeast(wanted);
    expect(await readyIds()).to.deep.equal(before);
    const pod = await run();
    expect(before).to.include(pod.id);
    expect(await shell(daemon, await startContainer(daemon, pod), "echo up")).to.equal("up\n");
    await removePod(daemon, pod);
  });

  for (const [place, becomes] of [
    ["begin write record", "ready"],
    ["end write record", "gone"],
    ["begin move ready box", "gone"],
    ["end move ready box", "gone"],
  ] as const) {
    it(`has a Box ${becomes === "ready" ? "back that no pod had yet" : "of a pod's no more"} when the daemon dies at: ${place}`, async () => {
      await atLeast(1);
      const ready = await readyIds();
      await faults.arm({ kind: "die", place });
      await refused(run());
      expect(faults.spent).to.equal(true);
      await daemon.stop();
      await daemon.launch();
      await eventually("what was left is taken up", 30_000, async () => {
        const left = (await readyIds()).filter((id) => ready.includes(id));
        return left.length === ready.length - (becomes === "gone" ? 1 : 0) ? true : undefined;
      });
      if (becomes === "ready") await atLeast(ready.length);
      const left = await readyIds();
      for (const id of ready) if (!left.includes(id)) await nothingOf(id);
      await noTroubles();
    });
  }

  it(`outlives the daemon's kill amid pods that come and go: nothing is twice, nothing is left (${kills})`, async function () {
    this.timeout(limit(60_000 + kills * 60_000));
    for (let kill = 0; kill < kills; kill++) {
      await atLeast(1);
      const work = comeAndGo();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * limit(1_500)));
      await daemon.stop("SIGKILL");
      await work;
      await daemon.launch();
      await eventually("everything is as the records have it", 60_000, async () => {
        await noTroubles();
        return true;
      });
      await daemon.removePods();
    }
    await atLeast(wanted);
    const ids = (await records()).map(({ id }) => id);
    expect(ids).to.have.lengthOf(wanted);
    expect(await readyIds()).to.have.members(ids);
  });

  async function comeAndGo(): Promise<void> {
    const life = async (): Promise<void> => {
      const pod = await run();
      await removePod(daemon, pod);
    };
    await Promise.allSettled([life(), life(), life()]);
  }

  it("leaves nothing half made when the daemon is stopped while it fills it", async () => {
    const [known = ""] = await readyIds();
    await removePod(daemon, await run()).catch(() => undefined);
    const making = await eventually("a Box is being made", 30_000, async () =>
      (await records()).find(({ id, pool, processes }) => id !== known && pool === undefined && processes.length > 0),
    );
    await daemon.stop();
    await nothingOf(making.id);
    await daemon.launch();
  });

  it("is emptied by a daemon whose Boxes would be others", async () => {
    await atLeast(1);
    const ready = await readyIds();
    await daemon.reconfigure(config(others));
    for (const id of ready) await nothingOf(id);
    await atLeast(1);
  });

  it("lets Boxes go where the host is short of memory, and makes none", async () => {
    const ready = await readyIds();
    const short = config(others).replace("ready_least_free_mib = 256", "ready_least_free_mib = 1_048_576");
    await daemon.reconfigure(short);
    for (const id of ready) await nothingOf(id);
    await eventually("the daemon says why", 20_000, async () =>
      (await daemon.logTail()).includes("no Box is made ready") ? true : undefined,
    );
    expect(await readyIds()).to.deep.equal([]);
  });

  it("is none of a daemon that wants none: the machine is as it was", async () => {
    await daemon.reconfigure(config());
    await atLeast(1);
    await daemon.reconfigure(config("", "[]"));
    await eventually("no Box is left", 30_000, async () => ((await records()).length === 0 ? true : undefined));
    await expectSameMachine(daemon.scope, atStart, 20_000);
  });
});
