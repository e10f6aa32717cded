import { expect } from "chai";
import { mkdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../src/base/errors.js";
import { boxId } from "../../src/base/ids.js";
import type { Box } from "../../src/vmm/box.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { eventually, limit } from "../support/wait.js";
import { BoxBench, driver, within } from "./bench-of-boxes.js";
import { skipBecause } from "../support/skip.js";

const withoutHandle = undefined;

async function failureOf(promise: Promise<unknown>): Promise<RuntimeError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

function pidOf(box: Box, role: "vmm" | "fs"): number {
  const found = box.handle.processes.find((one) => one.role === role);
  if (found === undefined) throw new Error(`the Box has no ${role}`);
  return found.pid;
}

/** Connects, says something, and hangs up after a while. */
async function dialAndDie(path: string, bytes: string, afterMs: number): Promise<void> {
  const socket = connect(path);
  socket.on("error", () => undefined);
  socket.resume();
  if (bytes !== "") socket.write(bytes);
  await delay(afterMs);
  socket.destroy();
}

describe("a Box that something happens to", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  beforeEach(async () => {
    bench = await BoxBench.open();
  });
  afterEach(async () => {
    await bench[Symbol.asyncDispose]();
  });

  it("has exited within two seconds of its VMM's death, and what waited for its agent fails", async () => {
    const box = await bench.boot();
    const waiting = failureOf(box.agent.wait({ sessionId: "none", execId: "" }, within(60_000)));
    const listening = failureOf(
      box.agent.output({ sessionId: "none", execId: "" }, 0n, false, within(60_000))[Symbol.asyncIterator]().next(),
    );
    const killedMs = performance.now();
    process.kill(pidOf(box, "vmm"), "SIGKILL");
    expect((await box.exited).reason).to.match(/^vmm killed by signal 9/);
    expect(performance.now() - killedMs).to.be.below(limit(2000));
    expect(box.exit?.reason).to.equal((await box.exited).reason);
    expect((await waiting).code).to.be.oneOf(["unavailable", "notFound"]);
    expect((await listening).code).to.be.oneOf(["unavailable", "notFound"]);
    expect((await failureOf(box.agent.listSessions(within(1000)))).message).to.contain("killed by signal 9");
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("does not outlive its file server", async function () {
    const box = await bench.boot();
    if (box.handle.driver === "krun") skipBecause(this, "libkrun serves the share itself");
    process.kill(pidOf(box, "fs"), "SIGKILL");
    expect((await box.exited).reason).to.match(/^file server killed by signal 9/);
    await box.stop(0, within(5000));
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("leaves nothing when it is discarded in the middle of its life, with mounts in it, twice", async () => {
    const box = await bench.boot();
    const source = join(bench.directory, "volume");
    await mkdir(source);
    await box.shareOverlay("root", await bench.snapshot());
    await box.shareBind("volume", source, false);
    expect(await bench.leftovers()).to.not.deep.equal([]);
    await bench.factory.discard(box.id, box.handle, within(20_000));
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
    expect((await box.exited).reason).to.contain("vmm");
  });

  it("is found again by a daemon that was started anew, and ends for it as for the first", async () => {
    const box = await bench.boot();
    await bench.reopen();
    expect(await bench.factory.listDirectories()).to.deep.equal([box.id]);
    box.agent.close("the first daemon is gone");
    const adopted = await bench.factory.adopt(box.id, box.handle, within(10_000));
    if (adopted === null) throw new Error("not found");
    expect((await adopted.agent.hello(within(20_000))).protocol).to.equal(1);
    const source = join(bench.directory, "late");
    await mkdir(source);
    await adopted.shareBind("late", source, true);
    await adopted.stop(20_000, within(30_000));
    expect((await adopted.exited).reason).to.match(/^vmm /);
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("answers a daemon soon, whatever those before it have left in its channel", async () => {
    const box = await bench.boot();
    const { agentSocket } = boxDirectoryAt(box.handle.directory);
    box.agent.close("the first daemon is gone");
    let took = 0;
    for (let round = 0; round < 8; round++) {
      await bench.reopen();
      const adopted = await bench.factory.adopt(box.id, box.handle, within(10_000));
      if (adopted === null) throw new Error("not found");
      const answer = adopted.agent.reach(within(20_000));
      // The guest has no processor meanwhile: it never sees that nobody was connected.
      await delay(20);
      process.kill(pidOf(box, "vmm"), "SIGCONT");
      const askedMs = performance.now();
      expect(await answer).to.deep.equal([]);
      took = Math.max(took, performance.now() - askedMs);
      if (round % 2 === 0) process.kill(pidOf(box, "vmm"), "SIGSTOP");
      adopted.agent.close("this daemon is gone");
      // Those that die young: in the middle of a word, of the handshake, of a frame of HTTP/2.
      for (let other = 0; other < 12; other++) {
        const bytes = ["HO", `HOST ${String(other).padStart(24, "a")}\n`, "\0\x20\0\0\0\0\0\0\x01half a frame", ""];
        await dialAndDie(agentSocket, bytes[other % 4] ?? "", (other * 7 + round * 3) % 40);
      }
    }
    expect(took).to.be.lessThan(limit(5_000));
    await bench.discard(box.id);
  });

  it("is not adopted when its VMM has gone; its remains go without a handle", async () => {
    const box = await bench.boot();
    process.kill(pidOf(box, "vmm"), "SIGKILL");
    await box.exited;
    await bench.reopen();
    expect(await bench.factory.adopt(box.id, box.handle, within(10_000))).to.equal(null);
    await bench.factory.discard(box.id, withoutHandle, within(10_000));
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("is taken back by a daemon that never knew its handle", async () => {
    const box = await bench.boot();
    await bench.reopen();
    await bench.factory.discard(box.id, withoutHandle, within(20_000));
    expect((await box.exited).reason).to.match(/^vmm (killed by signal 9|ended)/);
    await bench.discard(box.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("stops by itself when its agent is asked, before it is killed", async () => {
    const box = await bench.boot();
    await box.stop(30_000, within(40_000));
    expect((await box.exited).reason).to.match(/^vmm exited with status 0/);
  });

  it("is not booted twice under one id", async () => {
    const spec = await bench.spec();
    const box = await bench.factory.boot(spec, within(60_000));
    const refused = await failureOf(bench.factory.boot(spec, within(60_000)));
    expect(refused).to.include({ code: "alreadyExists" });
    expect(refused.message).to.contain(`boot box ${spec.id.slice(0, 12)}`);
    expect(box.exit).to.equal(undefined);
    await box.agent.hello(within(20_000));
  });
});

describe("a Box that can't be booted", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  beforeEach(async () => {
    bench = await BoxBench.open();
  });
  afterEach(async () => {
    await bench[Symbol.asyncDispose]();
  });

  it("fails at once when its VMM dies, names the stage, the Box and what the VMM said, and leaves nothing", async () => {
    const spec = await bench.spec();
    const booting = failureOf(bench.factory.boot(spec, within(60_000)));
    // The launcher is before QEMU, and before the file server beside it, too.
    const program = driver === "krun" ? /^a3s-box-launcher / : /^qemu-system-x86_64 /;
    const vmm = await eventually("a VMM", 20_000, async () =>
      (await bench.processes()).find(({ command }) => program.test(command)),
    );
    process.kill(vmm.pid, "SIGKILL");
    const killedMs = performance.now();
    const failure = await booting;
    expect(performance.now() - killedMs).to.be.below(limit(5000));
    expect(failure.message).to.match(
      new RegExp(`^boot box ${spec.id.slice(0, 12)}: wait for agent: vmm killed by signal 9`),
    );
    await bench.discard(spec.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("leaves nothing when the caller gives up in the middle", async () => {
    const spec = await bench.spec();
    const caller = new AbortController();
    const booting = failureOf(bench.factory.boot(spec, caller.signal));
    await eventually("a process", 20_000, async () => (await bench.processes())[0]);
    caller.abort();
    expect((await booting).code).to.equal("canceled");
    await bench.discard(spec.id);
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("is refused with less memory than its kernel needs, or without a processor", async () => {
    for (const wrong of [{ memoryMib: 32 }, { vcpus: 0 }, { vcpus: 1.5 }]) {
      expect(await failureOf(bench.boot(wrong))).to.include({ code: "invalidArgument" });
    }
  });

  it("is refused under a cgroup parent that leads elsewhere", async () => {
    const failure = await failureOf(bench.boot({ cgroupParent: "/../../etc" }));
    expect(failure).to.include({ code: "invalidArgument" });
  });

  it("is swept away when its daemon died before anything ran in it", async () => {
    const directory = join(bench.directory, "state/boxes", "0".repeat(24));
    await mkdir(join(directory, "layout"), { recursive: true });
    await bench.reopen();
    expect(await bench.leftovers()).to.deep.equal([]);
  });

  it("is not mistaken for another one whose id begins alike", async () => {
    const box = await bench.boot();
    const twin = boxId(`${box.id.slice(0, 24)}${"0".repeat(40)}`);
    await bench.factory.discard(twin, withoutHandle, within(10_000));
    await box.agent.hello(within(20_000));
    expect(box.exit).to.equal(undefined);
  });
});
