import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { PodSandboxState } from "../../../../src/gen/runtime/v1/api.js";
import { listPodSandbox } from "../../../../src/cri/rpc/list-pod-sandbox.js";
import { podSandboxStatus } from "../../../../src/cri/rpc/pod-sandbox-status.js";
import { removePodSandbox } from "../../../../src/cri/rpc/remove-pod-sandbox.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { eventually } from "../../../support/wait.js";
import { call, failureOf, linuxConfig, makeWorld, podRequest, resources, type World } from "../../runtime/pod/fakes.js";

describe("RunPodSandbox", () => {
  let world: World;

  beforeEach(async () => {
    world = await makeWorld();
  });

  afterEach(async () => {
    await world.remove();
  });

  const run = (request = podRequest(), signal?: AbortSignal) => runPodSandbox(request, call(signal), world.deps);
  const list = async () => (await listPodSandbox({ filter: undefined }, call(), world.deps)).items;

  /** Everything that a sandbox leaves on the machine. */
  const traces = async () => ({
    boxes: world.boxes.live.size,
    netns: world.kernel.netns.size,
    records: (await readdir(join(world.directory, "root/records/sandboxes"))).length,
    files: (await readdir(join(world.directory, "s/sandboxes")).catch(() => [])).length,
    listed: (await list()).length,
  });
  const nothing = { boxes: 0, netns: 0, records: 0, files: 0, listed: 0 };

  it("answers with the id of a sandbox that is READY, with metadata, labels and annotations as given", async () => {
    const request = podRequest({ labels: { app: "web" }, annotations: { note: "a=b" } });
    const { podSandboxId } = await run(request);
    const { status } = await podSandboxStatus({ podSandboxId, verbose: false }, call(), world.deps);
    expect(status).to.deep.include({
      id: podSandboxId,
      state: PodSandboxState.SANDBOX_READY,
      metadata: request.config?.metadata,
      labels: { app: "web" },
      annotations: { note: "a=b" },
      network: undefined,
    });
  });

  it("gives the Box its hostname, clock, sysctls and size, and the pod its files", async () => {
    const request = podRequest({
      hostname: "web-0",
      dnsConfig: { servers: ["10.0.0.10"], searches: ["shop.svc"], options: ["ndots:5"] },
      linux: linuxConfig({
        cgroupParent: "/kubepods/podx",
        sysctls: { "net/core/somaxconn": "1024" },
        resources: resources({ memoryLimitInBytes: 1_073_741_824n, cpuQuota: 100_000n, cpuPeriod: 100_000n }),
      }),
    });
    const { podSandboxId } = await run(request);
    const [spec] = world.boxes.specs;
    expect(spec).to.include({ vcpus: 1, memoryMib: 1024, cgroupParent: "/kubepods/podx", tap: null });
    expect(world.kernel.netns.has(spec?.netnsPath ?? "")).to.equal(true);
    const [configured] = [...world.boxes.live.values()].flatMap((box) => box.configured);
    expect(configured?.hostname).to.equal("web-0");
    expect(configured?.sysctls).to.include({
      "net.core.somaxconn": "1024",
      "net.ipv4.ip_unprivileged_port_start": "0",
    });
    expect(configured?.wallClockNs).to.satisfy((ns: bigint) => ns > 1_700_000_000_000_000_000n);
    const file = (name: string) => readFile(join(world.directory, "s/sandboxes", podSandboxId, name), "utf8");
    expect(await file("hostname")).to.equal("web-0\n");
    expect(await file("resolv.conf")).to.equal("search shop.svc\nnameserver 10.0.0.10\noptions ndots:5\n");
    expect(await file("hosts")).to.match(/^127\.0\.1\.1\tweb-0$/m);
  });

  it("is answered although its Box never boots and hears no signal, and nobody builds over what comes of it", async () => {
    let boot: () => void = () => undefined;
    world.boxes.beforeBoot = () => new Promise((resolve) => (boot = resolve));
    const running = failureOf(run());
    await eventually("it boots", 1_000, () => (world.boxes.specs.length === 1 ? true : undefined));
    world.closing.abort();
    const beganMs = performance.now();
    expect((await running).message).to.contain("the daemon is stopping");
    expect(performance.now() - beganMs).to.be.lessThan(1_000);
    const again = await failureOf(run());
    expect(`${again.code} ${again.message}`).to.match(/^unavailable .*still busy with: boot box since \d+ s/);
    boot();
    await world.deps.sandboxCreations.idle();
    expect(await traces()).to.deep.equal(nothing);
  });

  it("refuses a second one of the same name, uid and attempt, and names the first's id", async () => {
    const { podSandboxId } = await run();
    const failed = await failureOf(run());
    expect(failed.code).to.equal("alreadyExists");
    expect(failed.message).to.include(podSandboxId);
  });

  it("takes the next attempt beside the first", async () => {
    await run();
    await run(podRequest({ metadata: { name: "web", namespace: "shop", uid: "u-1", attempt: 1 } }));
    expect(await list()).to.have.length(2);
  });

  it("joins a repeat to the creation under way, also when the first caller has gone", async () => {
    let boot: () => void = () => undefined;
    const booting = new Promise<void>((begun) => {
      world.boxes.beforeBoot = () => {
        begun();
        return new Promise((resolve) => (boot = resolve));
      };
    });
    const caller = new AbortController();
    const first = run(podRequest(), caller.signal);
    const second = run();
    caller.abort(new RuntimeError("canceled", "the caller gave up"));
    expect((await failureOf(first)).code).to.equal("canceled");
    expect(await list()).to.deep.equal([]);
    await booting;
    boot();
    const { podSandboxId } = await second;
    expect((await list()).map(({ id }) => id)).to.deep.equal([podSandboxId]);
    expect(world.boxes.specs).to.have.length(1);
  });

  it("finishes for a caller who has gone, so that a repeat is told the id", async () => {
    const caller = new AbortController();
    world.boxes.beforeBoot = () => {
      caller.abort(new RuntimeError("canceled", "the caller gave up"));
      return Promise.resolve();
    };
    await failureOf(run(podRequest(), caller.signal));
    await world.deps.sandboxCreations.idle();
    const [item] = await list();
    expect((await failureOf(run())).message).to.include(item?.id);
  });

  for (const step of ["beforeBoot", "beforeConfigure"] as const) {
    it(`leaves nothing behind when it fails at ${step}, and starts afresh when repeated`, async () => {
      world.boxes[step] = () => Promise.reject(new RuntimeError("internal", "no luck"));
      const failed = await failureOf(run());
      expect(failed.message).to.match(/^run sandbox [0-9a-f]{12}: .*no luck/);
      expect(await traces()).to.deep.equal(nothing);
      world.boxes[step] = () => Promise.resolve();
      await run();
      expect(await list()).to.have.length(1);
    });
  }

  it("undoes itself when the daemon stops in the middle", async () => {
    world.boxes.beforeBoot = (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reject(new Error("aborted"));
        });
        world.closing.abort();
      });
    await failureOf(run());
    expect(await traces()).to.deep.equal(nothing);
  });

  it("leaves nothing behind after its sandbox was removed", async () => {
    const { podSandboxId } = await run();
    await removePodSandbox({ podSandboxId }, call(), world.deps);
    expect(await traces()).to.deep.equal(nothing);
  });

  it("shows the driver, the VMM and the time of each stage to who asks verbosely", async () => {
    const { podSandboxId } = await run();
    const { info } = await podSandboxStatus({ podSandboxId, verbose: true }, call(), world.deps);
    const shown: unknown = JSON.parse(info["info"] ?? "");
    expect(shown).to.include({ driver: "qemu", pid: 4711, pidOf: "vmm", vmmPid: 4711, memoryBytes: 1 });
    expect(shown).to.have.nested.property("stages[0].name", "plan network");
    expect(JSON.stringify(shown)).to.include('"boot box"');
  });
});
