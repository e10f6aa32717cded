/** E2B's SDKs, as they are published, with nothing told to them but an address: every call goes to a real Box. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Sandbox as CodeSandbox } from "@e2b/code-interpreter";
import { expect } from "chai";
import {
  CommandExitError,
  FileNotFoundError,
  FileType,
  InvalidArgumentError,
  Sandbox,
  SandboxError,
  SandboxNotFoundError,
  TimeoutError,
} from "e2b";
import * as z from "zod";
import { projectDirectory } from "../support/project.js";
import { openE2bPort, type E2bPort } from "../support/sandboxes/e2b-port.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const timeoutMs = 600_000;
const awayMs = 180_000;
/** A megabyte of each digit from 1 to 8, a pause behind each: two minutes and a half in which nobody reads. */
const slowOutput = `echo begun; for i in 1 2 3 4 5 6 7 8; do sleep 18; head -c 1048576 /dev/zero | tr '\\0' $i; done; echo done`;

describe("unmodified clients of E2B", () => {
  let port: E2bPort | undefined;

  before(async () => {
    port = await openE2bPort();
    Object.assign(process.env, { E2B_API_KEY: "any", E2B_API_URL: port.url, E2B_SANDBOX_URL: port.url });
  });

  after(async () => {
    for (const name of ["E2B_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL"]) Reflect.deleteProperty(process.env, name);
    await port?.close();
  });

  describe("in JavaScript", () => {
    let sandbox: Sandbox;

    before(async () => {
      sandbox = await Sandbox.create({ timeoutMs, metadata: { app: "a b&c=é" }, envs: { GREETING: "hello" } });
    });

    after(async () => {
      await sandbox.kill();
    });

    it("run commands with their outputs, exit codes, environment, directory and user", async () => {
      const ran = await sandbox.commands.run("echo $GREETING $MORE; echo err >&2; pwd; id -un", {
        envs: { MORE: "more" },
        cwd: "/tmp",
      });
      expect(ran).to.include({ exitCode: 0, stdout: "hello more\n/tmp\nuser\n", stderr: "err\n" });
      expect((await sandbox.commands.run("id -un", { user: "root" })).stdout).to.equal("root\n");
      const failed = await failure(sandbox.commands.run("echo out; exit 3"));
      expect(failed)
        .to.be.instanceOf(CommandExitError)
        .and.include({ exitCode: 3, stdout: "out\n", error: "exit status 3" });
      const killed = await failure(sandbox.commands.run("kill -9 $$"));
      expect(killed).to.be.instanceOf(CommandExitError).and.include({ exitCode: -1, error: "signal: killed" });
      expect(await failure(sandbox.commands.run("true", { cwd: "/no/such" }))).to.be.instanceOf(InvalidArgumentError);
    });

    it("feed input and its end to a command in the background, list it and kill it", async () => {
      const cat = await sandbox.commands.run("cat", { background: true, stdin: true });
      await sandbox.commands.sendStdin(cat.pid, "one\n");
      await sandbox.commands.sendStdin(cat.pid, "two\n");
      await sandbox.commands.closeStdin(cat.pid);
      expect((await cat.wait()).stdout).to.equal("one\ntwo\n");
      const sleeper = await sandbox.commands.run("sleep 600; true", { background: true, timeoutMs: 0 });
      const listed = (await sandbox.commands.list()).map(({ pid, cmd, args }) => ({ pid, cmd, args }));
      expect(listed).to.deep.include({ pid: sleeper.pid, cmd: "/bin/bash", args: ["-l", "-c", "sleep 600; true"] });
      expect(await sandbox.commands.kill(sleeper.pid)).to.equal(true);
      expect(await failure(sleeper.wait())).to.include({ exitCode: -1, error: "signal: killed" });
      expect(await sandbox.commands.kill(sleeper.pid)).to.equal(false);
    });

    it("take output up again where they have left it, to the last byte", async () => {
      const megabytes = 8;
      const first = await sandbox.commands.run(
        `echo begun; read -r _; head -c ${megabytes * 1024 * 1024} /dev/zero | tr '\\0' x; echo; echo done`,
        { background: true, stdin: true, timeoutMs: 0 },
      );
      await eventually("it has begun", 20_000, () => (first.stdout === "begun\n" ? true : undefined));
      await first.disconnect();
      await sandbox.commands.sendStdin(first.pid, "go\n");
      const again = await sandbox.commands.connect(first.pid, { timeoutMs: 0 });
      const { stdout } = await again.wait();
      expect(stdout.length).to.equal(megabytes * 1024 * 1024 + "\ndone\n".length);
      expect(stdout.endsWith("x\ndone\n")).to.equal(true);
    });

    it("end a command at the time that it has", async () => {
      expect(await failure(sandbox.commands.run("sleep 600", { timeoutMs: 2000 }))).to.be.instanceOf(TimeoutError);
      await eventually("it is gone", 20_000, async () =>
        (await sandbox.commands.list()).length === 0 ? true : undefined,
      );
    });

    it("have a terminal, its size and its input", async () => {
      let seen = "";
      const terminal = await sandbox.pty.create({
        cols: 90,
        rows: 30,
        onData: (data) => {
          seen += Buffer.from(data).toString();
        },
      });
      await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 40 });
      await sandbox.pty.sendInput(terminal.pid, Buffer.from("stty size; echo $TERM $((40 + 2)); exit\n"));
      await terminal.wait();
      expect(seen)
        .to.match(/40 100\r\n/)
        .and.match(/xterm-256color 42\r\n/);
    });

    it("write, read, list, stat, make, move and remove files", async () => {
      const { files } = sandbox;
      expect(await files.write("d/a.txt", "content é")).to.include({ name: "a.txt", path: "/home/user/d/a.txt" });
      await files.write([
        { path: "d/one", data: "1" },
        { path: '/tmp/x "two"', data: new Blob(["22"]).stream() },
      ]);
      const bytes = Buffer.alloc(3_000_000, "0123456789");
      await files.write("d/large", bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
      expect(await files.read("d/a.txt")).to.equal("content é");
      expect(await files.read('/tmp/x "two"')).to.equal("22");
      expect(Buffer.from(await files.read("d/large", { format: "bytes" })).equals(bytes)).to.equal(true);
      expect((await sandbox.commands.run("wc -c < d/large; stat -c %U d/large")).stdout).to.equal("3000000\nuser\n");
      const entries = (await files.list("d")).map(({ name, type, size, permissions }) => ({
        name,
        type,
        size,
        permissions,
      }));
      expect(entries).to.deep.include({ name: "a.txt", type: FileType.FILE, size: 10, permissions: "-rw-r--r--" });
      expect(entries.map(({ name }) => name)).to.deep.equal(["a.txt", "large", "one"]);
      expect([await files.makeDir("m/n"), await files.makeDir("m/n")]).to.deep.equal([true, false]);
      await sandbox.commands.run("ln -s /home/user/d link; ln -s nowhere broken");
      expect(await files.getInfo("link")).to.include({ type: FileType.DIR, symlinkTarget: "/home/user/d" });
      expect(await files.getInfo("broken")).to.include({ type: FileType.SYMLINK });
      expect(await files.rename("d/one", "m/n/two")).to.include({ path: "/home/user/m/n/two" });
      expect([await files.exists("d/one"), await files.exists("m/n/two")]).to.deep.equal([false, true]);
      await files.remove("m");
      await files.remove("m");
      expect(await files.exists("m/n/two")).to.equal(false);
      expect(await failure(files.read("none"))).to.be.instanceOf(FileNotFoundError);
      expect(await failure(files.read("d"))).to.be.instanceOf(InvalidArgumentError);
      expect(await failure(files.write("/etc/passwd", "x"))).to.be.instanceOf(SandboxError);
      await files.write("/root/secret", "of root", { user: "root" });
      expect(await files.read("/root/secret", { user: "root" })).to.equal("of root");
    });

    it("keep metadata with files, and are told of what the sandbox's own programs have put there, where that is text", async () => {
      const { files } = sandbox;
      const metadata = { author: "me", purpose: "a b" };
      expect(await files.write("kept/a", "1", { metadata: { Author: "me", purpose: "a b" } })).to.deep.include({
        metadata,
      });
      await files.write([{ path: "kept/b", data: "2" }], { metadata: { only: "b" }, useOctetStream: false });
      expect((await files.getInfo("kept/a")).metadata).to.deep.equal(metadata);
      expect((await files.list("kept")).map((entry) => entry.metadata)).to.deep.equal([metadata, { only: "b" }]);
      expect((await files.rename("kept/a", "kept/c")).metadata).to.deep.equal(metadata);
      await files.write("kept/c", "written again");
      expect((await files.getInfo("kept/c")).metadata).to.equal(undefined);
      const inside = ["user.e2b.x=text", "user.e2b.bytes=\\xff", "user.other=1"].map((one) => one.split("="));
      const set = inside.map(([name, value]) => `os.setxattr("kept/c", "${name ?? ""}", b"${value ?? ""}")`);
      await sandbox.commands.run(`python3 -c 'import os; ${set.join("; ")}'`);
      expect((await files.getInfo("kept/c")).metadata).to.deep.equal({ x: "text" });
      const large = failure(files.write("kept/d", "4", { metadata: { large: "x".repeat(4096) } }));
      expect(await large).to.be.instanceOf(InvalidArgumentError);
      expect(await files.exists("kept/d")).to.equal(false);
    });

    it("reach a file by a signed link, and by no other", async () => {
      await sandbox.files.write("linked", "by a link");
      const of = { headers: { "E2b-Sandbox-Id": sandbox.sandboxId, "E2b-Sandbox-Port": "49983" } };
      const url = await sandbox.downloadUrl("linked", { useSignatureExpiration: 100 });
      expect(await (await fetch(url, of)).text()).to.equal("by a link");
      const otherUser = new URL(url);
      otherUser.searchParams.set("username", "root");
      expect((await fetch(otherUser, { ...of, headers: { ...of.headers } })).status).to.equal(401);
    });

    it("watch a directory", async () => {
      await sandbox.files.makeDir("watched/below");
      const seen: string[] = [];
      const handle = await sandbox.files.watchDir(
        "watched",
        ({ type, name }) => {
          seen.push(`${type} ${name}`);
        },
        { recursive: true },
      );
      await sandbox.commands.run("echo 1 > watched/below/new; rm watched/below/new");
      await eventually("both are seen", 20_000, () =>
        seen.includes("create below/new") && seen.includes("remove below/new") ? true : undefined,
      );
      await handle.stop();
    });

    it("see figures, facts, lists and the time of their sandbox, and change that", async () => {
      const [figures] = await sandbox.getMetrics();
      expect(figures).to.include({ cpuCount: 1 });
      expect(figures?.memTotal).to.be.greaterThan(0);
      const info = await sandbox.getInfo();
      expect(info).to.deep.include({ templateId: "base", state: "running", metadata: { app: "a b&c=é" } });
      await sandbox.setTimeout(3_000_000);
      expect((await sandbox.getInfo()).endAt.getTime()).to.be.greaterThan(Date.now() + 2_900_000);
      const found = await Sandbox.list({ query: { metadata: { app: "a b&c=é" } }, limit: 1 }).nextItems();
      expect(found.map(({ sandboxId }) => sandboxId)).to.deep.equal([sandbox.sandboxId]);
      expect(await Sandbox.list({ query: { metadata: { app: "b" } } }).nextItems()).to.deep.equal([]);
      const again = await Sandbox.connect(sandbox.sandboxId);
      expect((await again.commands.run("echo again")).stdout).to.equal("again\n");
      expect(await sandbox.isRunning()).to.equal(true);
    });

    it("hear what is not built, by its name", async () => {
      for (const [what, call] of [
        ["snapshots", sandbox.createSnapshot()],
        ["network", sandbox.updateNetwork({ egressProxy: { address: "192.0.2.1:1080" } })],
      ] as const) {
        const error = await failure(call);
        expect(error, what).to.be.instanceOf(SandboxError);
        expect(String(error), what).to.match(/501.*not built/);
      }
      const refused = Sandbox.create({ network: { maskRequestHost: "a.example" } });
      expect(String(await failure(refused))).to.contain("network.maskRequestHost: not built");
      expect(String(await failure(Sandbox.create("none-such-template")))).to.match(/404|403|400/);
    });

    it("have it stand still, and go on where they connect to it again", async () => {
      const counter = await sandbox.commands.run("i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done", {
        ...{ background: true, timeoutMs: 0 },
      });
      await eventually("it counts", 20_000, () => (counter.stdout.length > 0 ? true : undefined));
      expect(await sandbox.pause()).to.equal(true);
      expect(await sandbox.pause()).to.equal(false);
      expect((await sandbox.getInfo()).state).to.equal("paused");
      expect(await sandbox.isRunning()).to.equal(false);
      const paused = await Sandbox.list({ query: { state: ["paused"] } }).nextItems();
      expect(paused.map(({ sandboxId }) => sandboxId)).to.deep.equal([sandbox.sandboxId]);
      expect(await failure(sandbox.commands.run("true"))).to.be.instanceOf(SandboxError);
      const again = await Sandbox.connect(sandbox.sandboxId, { timeoutMs });
      expect((await again.getInfo()).state).to.equal("running");
      expect(await again.isRunning()).to.equal(true);
      const clock = Number((await again.commands.run("date +%s")).stdout);
      expect(Math.abs(clock - Date.now() / 1000)).to.be.lessThan(limit(5));
      const before = counter.stdout.length;
      await eventually("it counts on", 20_000, () => (counter.stdout.length > before ? true : undefined));
      const numbers = counter.stdout.trimEnd().split("\n").map(Number);
      expect(numbers).to.deep.equal(numbers.map((_, at) => at + 1));
      await again.commands.kill(counter.pid);
      const autoPaused = await Sandbox.create({ timeoutMs: 1000, lifecycle: { onTimeout: "pause" } });
      await eventually("it is paused at its end", 60_000, async () =>
        (await autoPaused.getInfo()).state === "paused" ? true : undefined,
      );
      expect(await autoPaused.kill()).to.equal(true);
    });

    it("run code by the interpreter of the template", async () => {
      const interpreter = await CodeSandbox.connect(sandbox.sandboxId);
      const { text, logs } = await eventually("the server of the template listens", 60_000, async () =>
        interpreter.runCode("x = 40\nprint('hi')\nx + 2"),
      );
      expect([text, logs.stdout.join("")]).to.deep.equal(["42", "hi\n"]);
      expect((await interpreter.runCode("x")).text).to.equal("40");
      expect((await interpreter.runCode("1 / 0")).error?.name).to.equal("ZeroDivisionError");
    });
  });

  it("take 8 MB up again after three minutes in which they were away, to the last byte", async function () {
    if (process.env["A3S_TEST_LONG"] !== "1") skipBecause(this, "takes four minutes: A3S_TEST_LONG=1");
    this.timeout(limit(awayMs + 300_000));
    const inJavaScript = async (): Promise<void> => {
      const sandbox = await Sandbox.create({ timeoutMs });
      const first = await sandbox.commands.run(slowOutput, { background: true, timeoutMs: 0 });
      await eventually("it has begun", 20_000, () => (first.stdout === "begun\n" ? true : undefined));
      await first.disconnect();
      await delay(awayMs);
      const again = await (await Sandbox.connect(sandbox.sandboxId)).commands.connect(first.pid, { timeoutMs: 0 });
      const { stdout, exitCode } = await again.wait();
      const whole = Array.from({ length: 8 }, (_, at) => String(at + 1).repeat(1024 * 1024)).join("");
      expect([exitCode, stdout.length]).to.deep.equal([0, whole.length + "done\n".length]);
      expect(stdout === `${whole}done\n`, "each byte at its place").to.equal(true);
      await sandbox.kill();
    };
    await Promise.all([inJavaScript(), existsSync(python) ? inPython("reattach", slowOutput) : undefined]);
  });

  it("end a sandbox, and hear of every call that it is gone", async () => {
    const sandbox = await Sandbox.create("no-bash", { timeoutMs });
    expect((await sandbox.commands.run("echo $0")).stdout, "by sh, where there is no bash").to.contain("sh");
    const told = [/^info: begun$/, /^warn: wrong$/, /^info: sandbox ready$/, /^info: process \d+ exited with 0$/];
    await eventually("its log has all of it", 20_000, async () => {
      const lines = await logOf(port?.url ?? "", sandbox.sandboxId);
      for (const wanted of told) if (!lines.some((line) => wanted.test(line))) throw new Error(lines.join("; "));
      return true;
    });
    expect([await sandbox.kill(), await sandbox.kill(), await sandbox.isRunning()]).to.deep.equal([true, false, false]);
    expect(await failure(sandbox.commands.run("true"))).to.be.instanceOf(SandboxNotFoundError);
    expect(await failure(sandbox.files.read("a"))).to.be.instanceOf(TimeoutError);
    expect(await failure(sandbox.getInfo())).to.be.instanceOf(SandboxNotFoundError);
    expect(await failure(Sandbox.connect(sandbox.sandboxId))).to.be.instanceOf(SandboxNotFoundError);
  });

  it("in debug mode share the default sandbox, with files, commands and code", async () => {
    process.env["E2B_DEBUG"] = "true";
    try {
      const first = await Sandbox.create();
      await first.files.write("shared", "by the first");
      const second = await CodeSandbox.create();
      expect((await second.commands.run("cat shared")).stdout).to.equal("by the first");
      const ran = await eventually("the kernel listens", 60_000, async () => await second.runCode("40 + 2"));
      expect(ran.text).to.equal("42");
      expect([await first.isRunning(), await first.kill()]).to.deep.equal([true, true]);
    } finally {
      Reflect.deleteProperty(process.env, "E2B_DEBUG");
    }
  });

  describe("in Python", () => {
    for (const mode of ["sync", "async", "debug"] as const) {
      it(`do the same (${mode})`, async function () {
        if (!existsSync(python)) skipBecause(this, "E2B's Python SDKs could not be installed by the set-up");
        this.timeout(limit(180_000));
        await inPython(mode);
      });
    }
  });
});

/** The SDKs have no call for it: as their dashboard asks. */
async function logOf(url: string, id: string): Promise<string[]> {
  const answer = await fetch(`${url}/v2/sandboxes/${id}/logs?limit=100`, { headers: { "x-api-key": "any" } });
  const { logs } = z
    .object({ logs: z.array(z.object({ level: z.string(), message: z.string() })) })
    .parse(await answer.json());
  return logs.map(({ level, message }) => `${level}: ${message}`);
}

/** What of `e2b_clients.py` the mode says, to its end. */
async function inPython(mode: string, ...words: readonly string[]): Promise<void> {
  const child = spawn(python, [join(projectDirectory, "test/sandboxes/e2b_clients.py"), mode, ...words], {
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...(mode === "debug" ? { E2B_DEBUG: "true" } : {}) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  }
  const status = await new Promise((resolve) => child.once("close", resolve));
  expect(status, said).to.equal(0);
}

async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it succeeded");
}
