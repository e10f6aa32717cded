import { once } from "node:events";
import { existsSync } from "node:fs";
import { link, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { tellLateSteps, type LateStep } from "../../../../src/base/hold.js";
import { ContainerEventType, PodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import { publish } from "../../../../src/runtime/events/publish.js";
import { type CriServer, serveCri } from "../../../../src/cri/grpc/server.js";
import { CriClient, failure, image, maxMessageBytes, runtime, status } from "../../../support/cri-client.js";
import { eventually } from "../../../support/wait.js";
import { sample } from "../../metrics/sample.js";
import { failureOf, makeWorld, podRequest, type World } from "../../runtime/pod/fakes.js";

describe("the CRI socket", () => {
  let world: World;
  let socket: string;
  let server: CriServer | undefined;
  let cri: CriClient;

  beforeEach(async () => {
    world = await makeWorld();
    socket = join(world.directory, "s/cri.sock");
    server = await serveCri(world.deps, socket);
    cri = new CriClient(socket);
  });

  afterEach(async () => {
    cri.close();
    await server?.close(0);
    await world.remove();
  });

  it("is for its user and group alone", async () => {
    expect((await stat(socket)).mode & 0o777).to.equal(0o660);
  });

  it("hangs up on a peer that is neither root nor the daemon's own user, and says who it was", async () => {
    world.kernel.peer = { pid: 7, uid: 65_534, gid: 65_534 };
    const stranger = connect(socket);
    stranger.resume();
    await once(stranger, "close", { signal: AbortSignal.timeout(10_000) });
    expect(JSON.stringify(world.log)).to.match(/refused a client.*65534|65534.*refused a client/);
    world.kernel.peer = { pid: 8, uid: 0, gid: 0 };
    expect(await cri.call(runtime.version, {})).to.include({ runtimeName: "a3s-box" });
  });

  it("cuts off who shows no sign of life, and nobody else", async () => {
    const other = join(world.directory, "s/other.sock");
    const strict = await serveCri(world.deps, other, { everyMs: 100, answerMs: 2_000 });
    const alive = new CriClient(other);
    const silent = connect(other);
    try {
      await alive.ready(10_000);
      silent.resume(); // its end is not seen otherwise
      await once(silent, "close", { signal: AbortSignal.timeout(10_000) });
      expect(await alive.call(runtime.version, {})).to.include({ runtimeName: "a3s-box" });
    } finally {
      silent.destroy();
      alive.close();
      await strict.close(0);
    }
  });

  it("answers both services", async () => {
    expect(await cri.call(runtime.version, {})).to.include({ version: "0.1.0", runtimeName: "a3s-box" });
    const missing = new RuntimeError("unavailable", "no route to the registry");
    world.deps = Object.assign(world.deps, { images: { pull: () => Promise.reject(missing) } });
    const spec = { image: "x", annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
    await failure(cri.call(image.pullImage, { image: spec }), status.UNKNOWN, /^RegistryUnavailable: no route/);
  });

  describe("whose handler hangs, and hears no signal", () => {
    let settle: () => void;
    let strict: CriServer;
    let other: CriClient;
    beforeEach(async () => {
      const pull = (): Promise<unknown> => new Promise<void>((resolve) => (settle = resolve));
      world.deps = Object.assign(world.deps, { images: { pull } });
      const path = join(world.directory, "s/strict.sock");
      strict = await serveCri(world.deps, path, undefined, (rpc) => (rpc === "PullImage" ? 100 : null));
      other = new CriClient(path);
    });
    afterEach(async () => {
      settle();
      other.close();
      await strict.close(0);
    });
    const spec = { image: "x", annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
    const inFlight = async (): Promise<number | undefined> =>
      sample(await world.deps.metrics.text(), 'a3s_box_cri_calls_in_flight{rpc="PullImage"}');

    it("answers at its own limit plus less than a second, and the handler is named when it settles", async () => {
      const late: LateStep[] = [];
      tellLateSteps((step) => late.push(step));
      const beganMs = performance.now();
      await failure(other.call(image.pullImage, { image: spec }), status.DEADLINE_EXCEEDED, /no result in 100 ms/);
      expect(performance.now() - beganMs).to.be.lessThan(1_100);
      expect(await inFlight()).to.equal(0);
      settle();
      await eventually("both are told", 1_000, () => (late.length === 2 ? true : undefined));
      tellLateSteps(() => undefined);
      expect(late.map(({ name, outcome }) => [name, outcome])).to.deep.equal([
        ["PullImage", "given up"],
        ["PullImage", "failed"], // it has no image to answer with
      ]);
    });

    it("is done with a call whose client has gone", async () => {
      const left = cri.call(image.pullImage, { image: spec }, { exactMs: 300 });
      await failure(left, status.DEADLINE_EXCEEDED, /./);
      await eventually("it is over", 1_500, async () => ((await inFlight()) === 0 ? true : undefined));
    });
  });

  it("counts its calls by RPC and status", async () => {
    await cri.call(runtime.version, {});
    await failure(cri.call(runtime.podSandboxStatus, { podSandboxId: "nope" }), status.NOT_FOUND, /./);
    await cri.stream(runtime.streamPodSandboxes, {});
    const text = await world.deps.metrics.text();
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="Version",code="OK"}')).to.be.greaterThan(0);
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="PodSandboxStatus",code="NOT_FOUND"}')).to.equal(1);
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="StreamPodSandboxes",code="OK"}')).to.equal(1);
    expect(sample(text, 'a3s_box_cri_calls_in_flight{rpc="PodSandboxStatus"}')).to.equal(0);
  });

  it("counts the stages of a sandbox's start", async () => {
    await cri.call(runtime.runPodSandbox, podRequest());
    const text = await world.deps.metrics.text();
    expect(sample(text, 'a3s_box_sandbox_start_stage_seconds_count{stage="boot box"}')).to.equal(1);
  });

  it("tells an unknown sandbox by NOT_FOUND", async () => {
    await failure(
      cri.call(runtime.podSandboxStatus, { podSandboxId: "nope" }),
      status.NOT_FOUND,
      /"nope" does not exist/,
    );
  });

  it("answers UNIMPLEMENTED, with the reason, for what is not built", async () => {
    await failure(cri.call(runtime.restorePod, {}), status.UNIMPLEMENTED, /cannot be checkpointed/);
  });

  it("streams a list in parts of at least one item, and an empty one as none", async () => {
    expect(await cri.stream(runtime.streamPodSandboxes, {})).to.deep.equal([]);
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const { config } = podRequest();
      const metadata = { name: "web", namespace: "shop", uid: "u", attempt };
      await cri.call(runtime.runPodSandbox, { config: { ...PodSandboxConfig.fromPartial({}), ...config, metadata } });
    }
    const parts = await cri.stream(runtime.streamPodSandboxes, {});
    const { items } = await cri.call(runtime.listPodSandbox, {});
    expect(parts.length).to.be.greaterThan(1);
    expect(parts.flatMap(({ podSandboxes }) => podSandboxes)).to.deep.equal(items);
  });

  it("tells events to all who listen, in order, from the moment on in which it says so", async () => {
    const listening = await Promise.all([1, 2].map(() => cri.listen(runtime.getContainerEvents, {})));
    const { podSandboxId } = await cri.call(runtime.runPodSandbox, podRequest());
    await cri.call(runtime.stopPodSandbox, { podSandboxId });
    await cri.call(runtime.stopPodSandbox, { podSandboxId });
    await cri.call(runtime.removePodSandbox, { podSandboxId });
    for (const { messages, stop, ended } of listening) {
      await eventually("all events have come", 2000, () => (messages.length === 4 ? true : undefined));
      const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } =
        ContainerEventType;
      expect(messages.map((event) => [event.containerId, event.containerEventType])).to.deep.equal([
        [podSandboxId, CONTAINER_CREATED_EVENT],
        [podSandboxId, CONTAINER_STARTED_EVENT],
        [podSandboxId, CONTAINER_STOPPED_EVENT],
        [podSandboxId, CONTAINER_DELETED_EVENT],
      ]);
      expect(messages.every((event) => event.podSandboxStatus?.metadata?.uid === "u-1")).to.equal(true);
      stop();
      await ended;
    }
  });

  it("cuts a listener off that does not read, and keeps the others", async () => {
    const other = new CriClient(socket); // one connection's flow control is for all its streams
    const slow = await other.listen(runtime.getContainerEvents, {});
    const fast = await cri.listen(runtime.getContainerEvents, {});
    slow.pause();
    const annotations = { bulk: "x".repeat(20_000) };
    const { podSandboxId } = await cri.call(runtime.runPodSandbox, podRequest({ annotations }));
    const sandbox = world.deps.sandboxes.require(podSandboxId);
    for (let all = 52; all <= 302; all += 50) {
      for (let index = 0; index < 50; index += 1) {
        publish(world.deps.events, "started", podSandboxId, sandbox, () => []);
      }
      await eventually("the fast one has all", 5000, () => (fast.messages.length === all ? true : undefined));
    }
    slow.resume();
    expect(String(await slow.ended)).to.match(/RESOURCE_EXHAUSTED.*behind/);
    expect(slow.messages.length).to.be.lessThan(200);
    other.close();
  });

  it("ends every subscription when it stops", async () => {
    const { ended } = await cri.listen(runtime.getContainerEvents, {});
    world.deps.events.close();
    await server?.close(5000);
    server = undefined;
    expect(String(await ended)).to.match(/UNAVAILABLE.*stopping/);
  });

  it("takes a request of just under 16 MiB and refuses one of a byte over", async () => {
    const fitting = "x".repeat(maxMessageBytes - 16);
    expect(await cri.call(runtime.stopPodSandbox, { podSandboxId: fitting })).to.deep.equal({});
    const over = "x".repeat(maxMessageBytes + 1);
    await failure(
      cri.call(runtime.stopPodSandbox, { podSandboxId: over }),
      status.RESOURCE_EXHAUSTED,
      /larger than max/,
    );
    expect(await cri.call(runtime.stopPodSandbox, { podSandboxId: "x" })).to.deep.equal({});
  });

  it("never shows the annotations of a pod in the log", async () => {
    await cri.call(runtime.runPodSandbox, podRequest({ annotations: { token: "s3cr3t-4711" } }));
    expect(world.log.join("")).to.include("sandbox ready").and.not.include("s3cr3t-4711");
  });

  it("lets a call under way finish at shutdown, and is gone then", async () => {
    let boot: () => void = () => undefined;
    const booting = new Promise<void>((begun) => {
      world.boxes.beforeBoot = () => {
        begun();
        return new Promise((resolve) => (boot = resolve));
      };
    });
    const running = cri.call(runtime.runPodSandbox, podRequest());
    await booting;
    const closed = server?.close(5000);
    boot();
    expect((await running).podSandboxId).to.have.length(64);
    await closed;
    server = undefined;
    expect(existsSync(socket)).to.equal(false);
  });

  it("cuts a call off that takes longer than the grace at shutdown", async () => {
    let giveUp: (reason: Error) => void = () => undefined;
    const booting = new Promise<void>((begun) => {
      world.boxes.beforeBoot = () => {
        begun();
        return new Promise((_, reject) => (giveUp = reject));
      };
    });
    const cut = cri.call(runtime.runPodSandbox, podRequest()).then(
      () => "an answer",
      (thrown: unknown) => String(thrown),
    );
    await booting;
    await server?.close(20);
    server = undefined;
    expect(await cut).to.match(/CANCELLED|UNAVAILABLE/);
    giveUp(new Error("the test has ended"));
    await world.deps.sandboxCreations.idle();
  });

  it("replaces a socket that nobody serves any more", async () => {
    const left = join(world.directory, "left.sock");
    const listener = createServer().listen(left);
    await once(listener, "listening");
    const stale = join(world.directory, "stale.sock");
    await link(left, stale); // closing the listener unlinks its own name only
    await new Promise((resolve) => listener.close(resolve));
    const second = await serveCri(world.deps, stale);
    const client = new CriClient(stale);
    expect(await client.call(runtime.version, {})).to.include({ version: "0.1.0" });
    client.close();
    await second.close(0);
  });

  it("does not take a socket that somebody serves, nor a file", async () => {
    expect((await failureOf(serveCri(world.deps, socket))).message).to.match(/another process serves .* \(stop it/);
    const file = join(world.directory, "file");
    await writeFile(file, "dear");
    expect((await failureOf(serveCri(world.deps, file))).message).to.match(/is not a socket/);
  });
});
