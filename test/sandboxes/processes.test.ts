/** What a client may do with programs in a sandbox, on a real Box. */
import { expect } from "chai";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { encodeRecord } from "../../src/base/record-file.js";
import type { DetachedExecs } from "../../src/runtime/exec/detached-execs.js";
import type { ProcessWanted } from "../../src/sandboxes/core/process.js";
import type { SandboxProcesses } from "../../src/sandboxes/core/processes/sandbox-processes.js";
import type { Box } from "../../src/vmm/box.js";
import { projectDirectory } from "../support/project.js";
import { limit } from "../support/wait.js";
import { BoxBench, within } from "../vmm/bench-of-boxes.js";
import { collect, execsOf, idleSession, openIn, run, seen, shell, wanted } from "./process-bench.js";

const mib = 1024 * 1024;

describe("programs in a sandbox", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  let box: Box;
  let execs: DetachedExecs;
  let processes: SandboxProcesses;
  before(async () => {
    bench = await BoxBench.open();
    box = await bench.boot({ vcpus: 2 });
    execs = execsOf(box, await idleSession(box, bench));
    processes = await openIn(bench.directory, execs);
  });
  after(async () => {
    await processes.remove();
    await bench[Symbol.asyncDispose]();
  });

  async function codeOf(work: Promise<unknown>): Promise<string> {
    try {
      await work;
    } catch (thrown) {
      return thrown instanceof Error && "code" in thrown ? String(thrown.code) : "no code";
    }
    return "success";
  }

  it("have their output and exit code, both streams apart", async () => {
    const { stdout, stderr, exit } = await run(processes, shell("echo out; echo err >&2; exit 3"));
    expect([stdout, stderr, exit?.code, exit?.signal, exit?.timedOut]).to.deep.equal(["out\n", "err\n", 3, 0, false]);
  });

  it("get environment, directory and user that are asked for, over the sandbox's own", async () => {
    const script = 'echo "$(id -u):$(id -g):$(id -G) $HOME $USER $LOGNAME $OWN $A $(pwd)"';
    const asked = { env: { A: "b c" }, workingDir: "tmp/dir", user: "agent" };
    expect((await run(processes, shell(script, asked))).stdout).to.equal(
      "1000:1000:1000 2000 /home/agent agent agent sandbox b c /tmp/dir\n",
    );
    expect((await run(processes, shell('echo "$HOME $USER $PWD"'))).stdout).to.equal("/root root /\n");
    const own = { env: { HOME: "/h", USER: "u", OWN: "o" }, user: "0:1000" };
    expect((await run(processes, shell('echo "$HOME $USER $OWN $(id -g)"', own))).stdout).to.equal("/h u o 1000\n");
  });

  it("that can't be are refused with their reason, and leave nothing", async () => {
    const start = (what: Parameters<typeof wanted>): Promise<string> =>
      codeOf(processes.start(wanted(...what), within(10_000)));
    const before = processes.list().length;
    expect(await start([["no-such-program"]])).to.equal("notFound");
    expect(await start([["/no/such"]])).to.equal("notFound");
    expect(await start([["true"], { workingDir: "/no/such" }])).to.equal("invalidArgument");
    expect(await start([["true"], { workingDir: "/bin/busybox" }])).to.equal("invalidArgument");
    expect(await start([["true"], { user: "nobody-of-the-image" }])).to.equal("invalidArgument");
    expect(await start([["/proc/version"]])).to.equal("invalidArgument");
    expect(await start([[]])).to.equal("invalidArgument");
    expect(await start([["true"], { env: { "A=B": "c" } }])).to.equal("invalidArgument");
    expect(await start([["true\0"]])).to.equal("invalidArgument");
    expect(await start([["true", "x".repeat(mib)]])).to.equal("invalidArgument");
    expect(processes.list()).to.have.length(before);
    expect(await readdir(join(bench.directory, "processes"))).to.have.length(before);
    expect((await box.agent.listSessions(within(5_000)))[0]?.execIds.filter((id) => !id.startsWith("kept-"))).to.be
      .empty;
  });

  it("write eight megabytes with nobody there, which whoever comes later has whole", async () => {
    const megabyte = "cd dir; echo 0123456789abcde > f; for i in 1 2 3 4 5 6 7 8; do cat f f f f > g; mv g f; done";
    const { id } = await processes.start(
      shell(`${megabyte}; for i in 1 2 3 4 5 6 7 8; do echo "part $i"; cat f; done`, { workingDir: "tmp" }),
      within(10_000),
    );
    await ended(id);
    const { stdout, lost, exit } = await collect(processes.connect(id, "start", within(20_000)));
    expect([lost, exit?.code]).to.deep.equal([0, 0]);
    const part = "0123456789abcde\n".repeat(65_536);
    expect(stdout === [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `part ${number}\n${part}`).join("")).to.be.true;
  });

  it("are taken up where the last connection came to, or from a byte on, or from now", async () => {
    const { id } = await processes.start(shell("echo one; read x; echo two; read x", { stdin: true }), within(10_000));
    await seen(processes, id, "one\n");
    const now = collect(processes.connect(id, "now", within(20_000)));
    const later = collect(processes.connect(id, { offset: 2 }, within(20_000)));
    await processes.write(id, Buffer.from("\n"), within(5_000));
    await seen(processes, id, "two\n");
    await processes.write(id, Buffer.from("\n"), within(5_000));
    expect((await now).stdout).to.equal("two\n");
    expect((await later).stdout).to.equal("e\ntwo\n");
    expect((await collect(processes.connect(id, "unseen", within(5_000)))).exit?.code).to.equal(0);
    expect(await codeOf(Promise.resolve().then(() => processes.connect(id, { offset: -1 }, within(5_000))))).to.equal(
      "invalidArgument",
    );
  });

  it("read what clients write, each write whole, until the input is closed", async () => {
    const { id } = await processes.start(shell("cat", { stdin: true }), within(10_000));
    const texts = ["a", "b", "c", "d"].map((letter) => letter.repeat(100_000));
    const output = collect(processes.connect(id, "start", within(30_000)));
    await Promise.all(texts.map((text) => processes.write(id, Buffer.from(text), within(20_000))));
    await processes.closeInput(id, within(5_000));
    expect((await output).stdout === texts.join("")).to.be.true;
    await processes.closeInput(id, within(5_000));
    expect(await codeOf(processes.write(id, Buffer.from("x"), within(5_000)))).to.equal("failedPrecondition");
    const none = await processes.start(wanted(["sleep", "100"]), within(10_000));
    expect(await codeOf(processes.write(none.id, Buffer.from("x"), within(5_000)))).to.equal("failedPrecondition");
    await processes.forget(none.id, within(5_000));
  });

  it("that do not read make their writers wait, and nobody else", async () => {
    const { id } = await processes.start(wanted(["sleep", "1000"], { stdin: true }), within(10_000));
    const stop = new AbortController();
    const stuck = codeOf(processes.write(id, Buffer.alloc(4 * mib), stop.signal));
    expect((await run(processes, shell("echo other"))).stdout).to.equal("other\n");
    expect(await Promise.race([stuck, Promise.resolve("waits")])).to.equal("waits");
    stop.abort();
    expect(await stuck).to.not.equal("success");
    await processes.forget(id, within(5_000));
  });

  it("have a terminal of the size that was asked for from the beginning, and can be given another", async () => {
    const script = "stty size; while ! read x; do :; done; stty size; cat; tty";
    const { id } = await processes.start(shell(script, { terminal: { columns: 133, rows: 41 } }), within(10_000));
    await seen(processes, id, "41 133\r\n");
    await processes.resize(id, { columns: 90, rows: 20 }, within(5_000));
    await processes.write(id, Buffer.from("go\n"), within(5_000));
    await seen(processes, id, "20 90\r\n");
    await processes.closeInput(id, within(5_000)); // ^D ends cat, and the terminal is there still
    const { stdout, exit } = await collect(processes.connect(id, "start", within(10_000)));
    expect(stdout).to.match(/\/dev\/pts\/\d+\r\n$/);
    expect(exit?.code).to.equal(0);
    const plain = await processes.start(wanted(["sleep", "100"]), within(10_000));
    expect(await codeOf(processes.resize(plain.id, { columns: 1, rows: 1 }, within(5_000)))).to.equal(
      "failedPrecondition",
    );
    await processes.forget(plain.id, within(5_000));
  });

  it("get signals, alone or with all that they have started", async () => {
    const trap = await processes.start(
      shell("trap 'echo caught; exit 7' TERM; echo up; while :; do sleep 0.1; done"),
      within(10_000),
    );
    await seen(processes, trap.id, "up\n");
    await processes.signal(trap.id, 15, false, within(5_000));
    expect((await collect(processes.connect(trap.id, "start", within(20_000)))).exit?.code).to.equal(7);
    expect(await codeOf(processes.signal(trap.id, 9, true, within(5_000)))).to.equal("notFound");

    const group = await processes.start(shell("setsid sleep 7654 & sleep 7654 & echo up; wait"), within(10_000));
    await seen(processes, group.id, "up\n");
    expect((await run(processes, shell("ps | grep -c 'sleep 765[4]'"))).stdout.trim()).to.not.equal("0");
    await processes.signal(group.id, 9, true, within(5_000));
    const { exit } = await collect(processes.connect(group.id, "start", within(20_000)));
    expect([exit?.code, exit?.signal, exit?.timedOut]).to.deep.equal([137, 9, false]);
    expect((await run(processes, shell("ps | grep -c 'sleep 765[4]'"))).stdout.trim()).to.equal("0");
    expect(await codeOf(processes.signal(group.id, 65, true, within(5_000)))).to.equal("invalidArgument");
  });

  it("are killed with all they have started when their time has passed", async () => {
    const { exit } = await run(processes, shell("sleep 7655 & sleep 7655", { limitMs: 300 }));
    expect([exit?.code, exit?.timedOut]).to.deep.equal([137, true]);
    expect((await run(processes, shell("ps | grep -c 'sleep 765[5]'"))).stdout.trim()).to.equal("0");
    expect((await run(processes, shell("exit 0", { limitMs: 60_000 }))).exit?.timedOut).to.be.false;
  });

  it("are started once for all who ask with one id, whoever of them has gone, and found by it while they start", async () => {
    const asked = shell("echo started >> once; sleep 7657", { startId: "one" });
    const [gone, stays] = [new AbortController(), within(20_000)];
    const starts = [processes.start(asked, gone.signal), processes.start(asked, stays), processes.start(asked, stays)];
    const looked = processes.startedBy("one", stays);
    gone.abort();
    const [first, ...others] = await Promise.allSettled(starts);
    expect(first?.status).to.equal("rejected");
    const { id } = await looked;
    expect(others.map((one) => (one.status === "fulfilled" ? one.value.id : String(one.reason)))).to.deep.equal([
      id,
      id,
    ]);
    expect((await processes.start(asked, stays)).id).to.equal(id);
    const lines = (count: number): string =>
      `until [ "$(grep -c started once)" = ${String(count)} ]; do sleep 0.05; done`;
    await run(processes, shell(lines(1), { limitMs: 20_000 }));
    await processes.forget(id, stays);

    const alone = new AbortController();
    const left = processes.start(shell("echo started >> once; sleep 7657", { startId: "two" }), alone.signal);
    alone.abort();
    expect(await codeOf(left)).not.to.equal("success");
    const went = await processes.startedBy("two", stays);
    await run(processes, shell(lines(2), { limitMs: 20_000 }));
    await processes.forget(went.id, stays);
    expect((await run(processes, shell("cat once; ps | grep -c 'sleep 765[7]'"))).stdout).to.equal(
      "started\nstarted\n0\n",
    );
    expect(await codeOf(processes.startedBy("two", stays))).to.equal("notFound");
    expect(await codeOf(processes.start(wanted(["no-such"], { startId: "three" }), stays))).to.equal("notFound");
    const other = await processes.start(wanted(["true"], { startId: "three" }), stays);
    expect((await processes.startedBy("three", stays)).id).to.equal(other.id);
    expect(await codeOf(processes.start(wanted(["true"], { startId: "x".repeat(257) }), stays))).to.equal(
      "invalidArgument",
    );
  });

  it("are found by the newest of their tag, and forgotten with all that was theirs", async () => {
    await processes.start(shell("echo old", { tag: "t" }), within(10_000));
    const { id } = await processes.start(wanted(["sleep", "7656"], { tag: "t" }), within(10_000));
    expect(processes.tagged("t").id).to.equal(id);
    const reading = codeOf(collect(processes.connect(id, "start", within(10_000))));
    await processes.forget(id, within(10_000));
    expect(await reading).to.equal("notFound");
    expect((await run(processes, shell("ps | grep -c 'sleep 765[6]'"))).stdout.trim()).to.equal("0");
    expect(await codeOf(Promise.resolve().then(() => processes.get(id)))).to.equal("notFound");
    await processes.forget(id, within(10_000));
    expect(processes.list().at(-1)?.id).to.not.equal(id);
  });

  it("are forgotten by the agent once they have ended", async () => {
    for (let count = 0; count < 5; count += 1) await run(processes, wanted(["true"]));
    const left = async (): Promise<number> => {
      const sessions = await box.agent.listSessions(within(5_000));
      return sessions.flatMap(({ execIds }) => execIds).filter((id) => id.startsWith("kept-")).length;
    };
    const limited = within(10_000);
    while ((await left()) > 0) limited.throwIfAborted();
  });

  it("can be so many, and no more", async () => {
    const few = await openIn(join(bench.directory, "few"), execsOf(box, await idleSession(box, bench)), {
      mostRunning: 2,
    });
    const ids = [];
    for (const _ of [1, 2]) ids.push((await few.start(wanted(["cat"], { stdin: true }), within(20_000))).id);
    expect(await codeOf(few.start(wanted(["true"]), within(20_000)))).to.equal("resourceExhausted");
    await few.closeInput(1, within(5_000));
    await collect(few.connect(1, "start", within(10_000)));
    expect((await run(few, wanted(["true"]))).exit?.code).to.equal(0);
    await few.remove();
  });

  async function ended(id: number): Promise<void> {
    await collect(processes.connect(id, "now", within(60_000)));
  }

  it("have what nobody has seen yet for who comes after a restart", async () => {
    const script = "echo one; read x; echo two; read x";
    const { id } = await processes.start(shell(script, { stdin: true }), within(10_000));
    await seen(processes, id, "one\n");
    const cut = codeOf(collect(processes.connect(id, "now", within(20_000))));
    await processes.close();
    expect(await cut).to.equal("unavailable");
    expect(await codeOf(processes.start(wanted(["true"]), within(5_000)))).to.equal("unavailable");

    processes = await openIn(bench.directory, execs);
    await processes.takeUp(within(20_000));
    expect(processes.get(id).exit).to.equal(undefined);
    await processes.write(id, Buffer.from("\n\n"), within(5_000));
    const { stdout, exit } = await collect(processes.connect(id, "unseen", within(20_000)));
    expect([stdout, exit?.code]).to.deep.equal(["two\n", 0]);
    expect((await processes.start(wanted(["true"]), within(5_000))).id).to.be.greaterThan(id);
  });

  it("go on when the disk is full, and have lost the oldest of their output", async () => {
    const full = join(bench.directory, "full");
    await mkdir(full);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", full]);
    let few: SandboxProcesses | undefined;
    try {
      few = await openIn(full, execsOf(box, await idleSession(box, bench)));
      const { id } = await few.start(shell("head -c 3000000 /dev/zero; echo; echo end"), within(10_000));
      await collect(few.connect(id, "now", within(60_000)));
      const { stdout, lost, exit } = await collect(few.connect(id, "start", within(20_000)));
      expect(exit?.code).to.equal(0);
      expect(lost + stdout.length).to.equal(3_000_005);
      expect(lost).to.be.greaterThan(2_000_000);
      expect(stdout.endsWith("\nend\n")).to.be.true;
    } finally {
      await few?.remove();
      execFileSync("umount", [full]);
    }
  });
});

describe("programs in a sandbox whose daemon is killed", function () {
  this.timeout(limit(180_000));
  let bench: BoxBench;
  let box: Box;
  let directory: string;
  let sessionId: string;
  before(async () => {
    bench = await BoxBench.open();
    box = await bench.boot({ vcpus: 2 });
    directory = join(bench.directory, "killed");
    await mkdir(directory);
    sessionId = await idleSession(box, bench);
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  /** A daemon that starts these, follows all, and is killed when so many pieces of output have come. */
  async function killedAfter(pieces: number, starts: readonly ProcessWanted[]): Promise<void> {
    box.agent.hangUp(); // the guest has one host at a time
    const words = [directory, bench.directory, box.id, encodeRecord(box.handle), sessionId, JSON.stringify(starts)];
    const daemon = spawn(process.execPath, ["--import=tsx", "test/sandboxes/processes-child.ts", ...words], {
      cwd: projectDirectory,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(daemon, "exit");
    let came = 0;
    for await (const bytes of daemon.stdout) {
      came += Buffer.from(bytes).toString().replaceAll(/[^.]/g, "").length;
      if (came >= pieces) break;
    }
    expect(daemon.exitCode).to.equal(null);
    daemon.kill("SIGKILL");
    await exited;
  }

  it("lose no byte, and have none twice, however often it is killed", async () => {
    const lines = 1500;
    const script = `p=$(printf '%500s' x); i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo "$i $p"; done`;
    const sleeper = wanted(["sleep", "1000"], { limitMs: 3_000 });
    const quick = shell("echo quick; exit 5");
    await killedAfter(30, [...Array.from({ length: 10 }, () => shell(script)), sleeper, quick]);
    for (const pieces of [25, 40]) await killedAfter(pieces, []);

    const processes = await openIn(directory, execsOf(box, sessionId));
    await processes.takeUp(within(30_000));
    expect(processes.list().map(({ id }) => id)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const whole = Array.from({ length: lines }, (_, index) => `${index + 1} ${"x".padStart(500)}\n`).join("");
    for (let id = 1; id <= 10; id += 1) {
      const { stdout, lost, exit } = await collect(processes.connect(id, "start", within(60_000)));
      expect([id, lost, exit?.code, stdout.length]).to.deep.equal([id, 0, 0, whole.length]);
      expect(stdout === whole).to.be.true;
    }
    const overdue = await collect(processes.connect(11, "start", within(20_000)));
    expect([overdue.exit?.signal, overdue.exit?.timedOut]).to.deep.equal([9, true]);
    const { stdout, exit } = await collect(processes.connect(12, "start", within(20_000)));
    expect([stdout, exit?.code]).to.deep.equal(["quick\n", 5]);
    await processes.close();
  });

  it("end with a reason when their Box is gone, at once or at the next start", async () => {
    const processes = await openIn(directory, execsOf(box, sessionId));
    const { id } = await processes.start(shell("echo last words; sleep 1000"), within(20_000));
    await seen(processes, id, "last words\n");
    const reading = collect(processes.connect(id, "start", within(30_000)));
    const other = await processes.start(wanted(["sleep", "1000"]), within(20_000));
    await bench.discard(box.id);
    const { stdout, exit } = await reading;
    expect(stdout).to.equal("last words\n");
    expect([exit?.code, exit?.lost === undefined]).to.deep.equal([137, false]);
    await collect(processes.connect(other.id, "start", within(10_000)));
    await processes.close();

    const gone = await openIn(directory, execsOf(box, sessionId));
    expect(gone.get(id).exit).to.deep.equal(exit);
    await gone.takeUp(within(10_000));
    await gone.remove();
  });
});
