import { readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { Stream } from "../../../../src/gen/agent/v1/agent.js";
import { ContainerState, type ContainerStatus } from "../../../../src/gen/runtime/v1/api.js";
import { containerStatus } from "../../../../src/cri/rpc/container-status.js";
import { createContainer } from "../../../../src/cri/rpc/create-container.js";
import { execSync } from "../../../../src/cri/rpc/exec-sync.js";
import { listContainers } from "../../../../src/cri/rpc/list-containers.js";
import { removeContainer } from "../../../../src/cri/rpc/remove-container.js";
import { reopenContainerLog } from "../../../../src/cri/rpc/reopen-container-log.js";
import { startContainer } from "../../../../src/cri/rpc/start-container.js";
import { stopContainer } from "../../../../src/cri/rpc/stop-container.js";
import { follow } from "../../../../src/runtime/container/follow.js";
import type { LogFile } from "../../../../src/runtime/logs/log-file.js";
import type { Box } from "../../../../src/vmm/box.js";
import { call, containerRequest, failureOf, makeWorld, type FakeProcess, type World } from "./fakes.js";
import { refuseRecords } from "../../../support/full-disk.js";

describe("a container's life", () => {
  let world: World;
  let containerId: string;
  let init: FakeProcess;

  beforeEach(async () => {
    world = await makeWorld();
    ({ containerId } = await createContainer(containerRequest(world), call(), world.deps));
    init = world.box.agent.init(containerId);
  });

  afterEach(async () => {
    await world.remove();
  });

  const start = () => startContainer({ containerId }, call(), world.deps);
  const stop = (timeout: bigint) => stopContainer({ containerId, timeout }, call(), world.deps);
  const exited = () => world.deps.containers.require(containerId).exited;
  const exec = (timeout = 0n) => execSync({ containerId, cmd: ["cmd"], timeout }, call(), world.deps);
  const logText = () => readFile(join(world.directory, "logs/app/0.log"), "utf8");
  const status = async (): Promise<ContainerStatus> => {
    const response = await containerStatus({ containerId, verbose: true }, call(), world.deps);
    if (response.status === undefined) throw new Error("no status");
    return response.status;
  };

  it("runs, prints into its log, and ends with its exit code", async () => {
    await start();
    expect((await status()).state).to.equal(ContainerState.CONTAINER_RUNNING);
    init.print("hello\n");
    init.print("oops\n", Stream.STDERR);
    init.end(3);
    await exited();
    const { state, exitCode, reason, startedAt, finishedAt } = await status();
    expect([state, exitCode, reason]).to.deep.equal([ContainerState.CONTAINER_EXITED, 3, "Error"]);
    expect(finishedAt > startedAt && startedAt > 0n).to.equal(true);
    expect((await logText()).split("\n").map((line) => line.slice(31))).to.deep.equal([
      "stdout F hello",
      "stderr F oops",
      "",
    ]);
  });

  it("names success Completed and a kill for memory OOMKilled", async () => {
    await start();
    init.end(0);
    await exited();
    expect((await status()).reason).to.equal("Completed");
    const next = await createContainer(
      containerRequest(world, { metadata: { name: "app", attempt: 1 } }),
      call(),
      world.deps,
    );
    ({ containerId } = next);
    await start();
    world.box.agent.init(containerId).end(137, 9, true);
    await exited();
    expect((await status()).reason).to.equal("OOMKilled");
  });

  it("does not show EXITED before the last byte of its log is written", async () => {
    await start();
    init.onSignal = () => undefined;
    init.exit.settle({ code: 0, signal: 0, exitedAtNs: 0n, oomKilled: false });
    await new Promise(setImmediate);
    expect((await status()).state).to.equal(ContainerState.CONTAINER_RUNNING);
    init.print("last words");
    init.closeOutput();
    await exited();
    expect(await logText()).to.match(/ stdout P last words\n$/);
  });

  it("kills what init leaves behind", async () => {
    await start();
    init.onSignal = () => {
      init.closeOutput();
    };
    init.exit.settle({ code: 0, signal: 0, exitedAtNs: 0n, oomKilled: false });
    await exited();
    expect(init.signals).to.deep.equal(["9 all"]);
  });

  it("has its log when StartContainer answers, also without output", async () => {
    await start();
    expect((await stat(join(world.directory, "logs/app/0.log"))).size).to.equal(0);
  });

  it("starts once only", async () => {
    await start();
    expect((await failureOf(start())).code).to.equal("failedPrecondition");
    expect((await failureOf(startContainer({ containerId: "0".repeat(64) }, call(), world.deps))).code).to.equal(
      "notFound",
    );
  });

  it("is EXITED with StartError when it can't be started", async () => {
    world.box.agent.beforeStart = () => Promise.reject(new RuntimeError("internal", "exec format error"));
    expect((await failureOf(start())).message).to.include("exec format error");
    const { exitCode, reason, message } = await status();
    expect([exitCode, reason]).to.deep.equal([128, "StartError"]);
    expect(message).to.include("exec format error");
  });

  it("drains its output when it has no log", async () => {
    const bare = await createContainer(
      containerRequest(world, { metadata: { name: "bare", attempt: 0 }, logPath: "" }),
      call(),
      world.deps,
    );
    ({ containerId } = bare);
    await start();
    const process = world.box.agent.init(containerId);
    process.print("x\n");
    process.end(0);
    await exited();
    expect(process.acknowledged.at(-1)).to.equal(2n);
    expect((await status()).logPath).to.equal("");
  });

  it("is EXITED as soon as the disk takes the record of it again", async () => {
    await start();
    refuseRecords(world.deps.containers);
    init.end(3);
    await exited();
    expect((await status()).exitCode).to.equal(3);
    expect(world.log.join("").match(/could not be recorded; it is tried again/g)).to.have.length(1);
  });

  it("is EXITED although the disk of its log answers no more", async () => {
    await start();
    const { containers } = world.deps;
    const container = containers.require(containerId);
    container.follower?.stop();
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const dead = { append: () => answered, close: () => answered } as unknown as LogFile;
    follow(container, world.box as unknown as Box, dead, 0n, containers, 50);
    init.print("a line\n");
    init.end(3);
    await exited();
    expect((await status()).exitCode).to.equal(3);
    answer();
  });

  describe("stopping", () => {
    it("sends the stop signal to init and waits for its end", async () => {
      await start();
      await stop(60n);
      expect(init.signals[0]).to.equal("15");
      expect((await status()).exitCode).to.equal(143);
    });

    it("kills everything at once without a grace", async () => {
      await start();
      await stop(0n);
      expect(init.signals[0]).to.equal("9 all");
      expect((await status()).exitCode).to.equal(137);
    });

    it("kills after the grace what does not listen", async () => {
      await start();
      init.onSignal = (signal) => {
        if (signal === 9) init.end(137, 9);
      };
      await stop(1n);
      expect(init.signals.slice(0, 2)).to.deep.equal(["15", "9 all"]);
    }).timeout(5000);

    it("succeeds for what does not run or never was", async () => {
      await stop(1n);
      expect((await status()).state).to.equal(ContainerState.CONTAINER_CREATED);
      await stopContainer({ containerId: "nonsense", timeout: 1n }, call(), world.deps);
      await start();
      await stop(0n);
      await stop(0n);
    });
  });

  describe("removing", () => {
    it("kills it, gives back all it had, and keeps its log", async () => {
      await start();
      init.print("kept\n");
      await removeContainer({ containerId }, call(), world.deps);
      expect((await failureOf(status())).code).to.equal("notFound");
      expect([world.images.snapshots.size, world.box.shared.size, world.box.agent.created.size]).to.deep.equal([
        0, 0, 0,
      ]);
      expect(await logText()).to.include("kept");
      await removeContainer({ containerId }, call(), world.deps);
    });

    it("works when the Box is dead", async () => {
      await start();
      world.box.die("vmm killed by signal 9");
      await world.deps.podContainers.boxExited(world.sandbox, { atNs: 9n, reason: "vmm killed by signal 9" });
      await removeContainer({ containerId }, call(), world.deps);
      expect(world.images.snapshots.size).to.equal(0);
    });
  });

  describe("when its Box dies", () => {
    it("is EXITED with 137 and the reason, and has written what had come", async () => {
      await start();
      init.print("half a li");
      world.box.die("vmm killed by signal 9");
      await world.deps.podContainers.boxExited(world.sandbox, { atNs: 9n, reason: "vmm killed by signal 9" });
      const { exitCode, reason, message } = await status();
      expect([exitCode, reason, message]).to.deep.equal([137, "Error", "vmm killed by signal 9"]);
      expect(await logText()).to.match(/ stdout P half a li\n$/);
    });
  });

  describe("when the disk takes no record of its end", () => {
    it("is EXITED as soon as it does", async () => {
      await start();
      refuseRecords(world.deps.containers);
      world.box.die("killed");
      await world.deps.podContainers.boxExited(world.sandbox, { atNs: 9n, reason: "killed" });
      await exited();
      expect((await status()).message).to.equal("killed");
    });
  });

  describe("when its pod is ended while it is paused", () => {
    it("is EXITED with all that had come in its log, and nobody is warned of what was asked for", async () => {
      await start();
      init.print("half a li");
      await world.deps.sandboxes.update(world.sandbox, { pausedAtNs: 7n });
      world.log.length = 0;
      await world.deps.podContainers.stopAllOf(world.sandbox, new AbortController().signal);
      world.box.die("stopped by request");
      await world.deps.podContainers.boxExited(world.sandbox, { atNs: 9n, reason: "stopped by request" });
      expect((await status()).exitCode).to.equal(137);
      expect(await logText()).to.match(/ stdout P half a li\n$/);
      expect(world.log.filter((line) => line.includes('"level":"warn"'))).to.deep.equal([]);
    });
  });

  describe("after a daemon restart", () => {
    it("is the same, and nothing of its log is lost or doubled", async () => {
      await start();
      init.print("one\n");
      init.print("two without end");
      const before = await status();
      await world.restart();
      expect(await status()).to.deep.equal(before);
      init.print(" … three\n");
      init.end(0);
      await exited();
      const lines = (await logText()).split("\n").map((line) => line.slice(40));
      expect(lines).to.deep.equal(["one", "two without end … three", ""]);
    });

    it("is EXITED when it ended meanwhile", async () => {
      await start();
      await world.deps.containers.close();
      init.end(7);
      await world.restart();
      await exited();
      expect((await status()).exitCode).to.equal(7);
    });

    it("is RUNNING when the daemon died between its start and the record of it", async () => {
      await world.box.agent.startSession(containerId);
      await world.restart();
      expect((await status()).state).to.equal(ContainerState.CONTAINER_RUNNING);
    });

    it("is EXITED when its Box has gone", async () => {
      await start();
      world.box.die("gone");
      world.sandbox.setBox(undefined);
      await world.restart();
      expect((await status()).exitCode).to.equal(137);
    });

    it("sheds the other snapshots that no record names where one can't be removed", async () => {
      const [stays, goes] = ["f".repeat(64), "e".repeat(64)];
      for (const key of [stays, goes]) world.images.snapshots.add(key);
      const remove = world.images.removeSnapshot.bind(world.images);
      world.images.removeSnapshot = (key) => (key === stays ? Promise.reject(new Error("it stays")) : remove(key));
      await world.restart();
      expect([...world.images.snapshots]).to.deep.equal([containerId, stays]);
      expect(world.log.filter((line) => line.includes("it stays"))).to.have.length(1);
    });

    it("sheds sessions, snapshots and entries of the share that no record names", async () => {
      const owned = [...world.box.shared.keys()];
      await world.box.shareBind("stray", "/stray", false);
      world.images.snapshots.add("f".repeat(64));
      await world.box.agent.createSession({
        sessionId: "e".repeat(64),
        ociSpec: Buffer.alloc(0),
        heldPaths: [],
        mirroredPaths: [],
        propagatedPaths: [],
        hugeVolumes: [],
        root: undefined,
        seccompBpf: Buffer.alloc(0),
        seccompFlags: 0,
        apparmorPolicy: new Uint8Array(),
        stdin: false,
      });
      await world.restart();
      expect([...world.images.snapshots]).to.deep.equal([containerId]);
      expect([...world.box.agent.created.keys()]).to.deep.equal([containerId]);
      expect([...world.box.shared.keys()]).to.deep.equal(owned);
    });
  });

  describe("log rotation", () => {
    it("goes on in a new file that is there when the call answers", async () => {
      await start();
      const path = join(world.directory, "logs/app/0.log");
      init.print("old\n");
      while (!(await logText()).includes("old")) await new Promise(setImmediate);
      await rename(path, `${path}.20260102-030405`);
      await reopenContainerLog({ containerId }, call(), world.deps);
      expect((await stat(path)).size).to.equal(0);
      init.print("new\n");
      init.end(0);
      await exited();
      expect(await logText()).to.match(/ stdout F new\n$/);
      expect(await readFile(`${path}.20260102-030405`, "utf8")).to.match(/ stdout F old\n$/);
    });

    it("is an error for a container that does not run", async () => {
      const reopen = () => reopenContainerLog({ containerId }, call(), world.deps);
      expect((await failureOf(reopen())).code).to.equal("failedPrecondition");
    });
  });

  describe("ExecSync", () => {
    it("gives both streams and the exit code", async () => {
      await start();
      world.box.agent.onExec = (process) => {
        process.print("out");
        process.print("err", Stream.STDERR);
        process.end(5);
      };
      const { stdout, stderr, exitCode } = await exec();
      expect([Buffer.from(stdout).toString(), Buffer.from(stderr).toString(), exitCode]).to.deep.equal([
        "out",
        "err",
        5,
      ]);
      const request = JSON.parse(Buffer.from(world.box.agent.execs[0]?.ociProcess ?? "").toString()) as {
        args: string[];
      };
      expect(request.args).to.deep.equal(["cmd"]);
      expect(world.box.agent.forgotten).to.have.length(1);
    });

    it("answers at the exit although a child holds the output open", async () => {
      await start();
      world.box.agent.onExec = (process) => {
        process.print("out");
        process.exit.settle({ code: 0, signal: 0, exitedAtNs: 0n, oomKilled: false });
      };
      expect(Buffer.from((await exec()).stdout).toString()).to.equal("out");
    });

    it("kills the command when its time is over, then fails with deadlineExceeded", async () => {
      await start();
      world.box.agent.onExec = () => undefined;
      expect((await failureOf(exec(1n))).code).to.equal("deadlineExceeded");
      expect(world.box.agent.forgotten).to.have.length(1);
    }).timeout(5000);

    it("keeps 16 MiB of a stream and drains the rest", async () => {
      await start();
      world.box.agent.onExec = (process) => {
        for (let index = 0; index < 17; index += 1) process.print("x".repeat(1024 * 1024));
        process.end(0);
      };
      expect((await exec()).stdout.length).to.equal(16 * 1024 * 1024);
    });

    it("refuses an empty command and a container that does not run", async () => {
      expect((await failureOf(execSync({ containerId, cmd: [], timeout: 0n }, call(), world.deps))).code).to.equal(
        "invalidArgument",
      );
      expect((await failureOf(exec())).code).to.equal("failedPrecondition");
    });

    it("says that a program is not there without saying that the container is not", async () => {
      await start();
      world.box.agent.startExec = () => Promise.reject(new RuntimeError("notFound", "executable file not found"));
      const failure = await failureOf(exec());
      expect([failure.code, failure.message.includes("executable file not found")]).to.deep.equal([
        "failedPrecondition",
        true,
      ]);
    });
  });

  describe("lists", () => {
    const list = async (filter: Partial<Parameters<typeof listContainers>[0]["filter"]> = {}) => {
      const full = { id: "", state: undefined, podSandboxId: "", labelSelector: {}, ...filter };
      return (await listContainers({ filter: full }, call(), world.deps)).containers.map(({ id }) => id);
    };

    it("find it by every filter, and not by one that does not fit", async () => {
      expect(await list()).to.deep.equal([containerId]);
      expect(await list({ id: containerId.slice(0, 12) })).to.deep.equal([containerId]);
      expect(await list({ podSandboxId: world.sandbox.id.slice(0, 12) })).to.deep.equal([containerId]);
      expect(await list({ state: { state: ContainerState.CONTAINER_CREATED } })).to.deep.equal([containerId]);
      expect(await list({ state: { state: ContainerState.CONTAINER_RUNNING } })).to.deep.equal([]);
      expect(await list({ labelSelector: { constructor: "x" } })).to.deep.equal([]);
      expect(await list({ podSandboxId: "0".repeat(64) })).to.deep.equal([]);
    });
  });
});
