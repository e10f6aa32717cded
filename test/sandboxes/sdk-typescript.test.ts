/** The TypeScript SDK, packed and installed as its users have it, before a daemon with real Boxes. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import { transform } from "esbuild";
import type { Sandbox } from "../../sdk/typescript/src/index.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { projectDirectory } from "../support/project.js";
import { agentImage, agentImageName } from "../support/sandboxes/agent-image.js";
import { installSdk, withImport, type InstalledSdk, type SdkModule } from "../support/sandboxes/installed-sdk.js";
import { freePort } from "../support/free-port.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const mebibyte = 1024 * 1024;

describe("the TypeScript SDK", function () {
  this.timeout(limit(120_000));
  let scratch: string;
  let endpoint: string;
  let port: number;
  let daemon: Daemon;
  let installed: InstalledSdk;
  let sdk: SdkModule;
  let sandbox: Sandbox;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-sdk-t-"));
    endpoint = `unix://${scratch}/sandboxes.sock`;
    port = await freePort();
    const config = [
      ...["[sandboxes]", `listen = ["${endpoint}", "tcp://127.0.0.1:${port}"]`, 'pull = "never"', "vcpus = 1", ""],
      ...["[templates.base]", `image = "${agentImageName}"`, "memory_mib = 512", ""],
      ...["[templates.small]", `image = "${busyboxImage}"`, "memory_mib = 256", ""],
    ];
    const images = [await agentImage(), await busybox()];
    [daemon, installed] = await Promise.all([Daemon.start({ images, config: config.join("\n") }), installSdk()]);
    ({ sdk } = installed);
    process.env["A3S_BOX_ENDPOINT"] = endpoint;
    sandbox = await sdk.Sandbox.create("small", { timeoutMs: 600_000, metadata: { of: "the test" } });
  });

  after(async () => {
    for await (const { sandboxId } of sdk.Sandbox.list()) await sdk.Sandbox.kill(sandboxId);
    Reflect.deleteProperty(process.env, "A3S_BOX_ENDPOINT");
    await daemon.remove();
    await installed.remove();
    await rm(scratch, { recursive: true });
  });

  /** What a program beside the installed package prints. */
  const program = async (text: string, env: Readonly<Record<string, string>>, ...args: string[]): Promise<string> => {
    const file = join(installed.directory, "program.mjs");
    await writeFile(file, (await transform(text, { loader: "ts", format: "esm", target: "node20" })).code);
    const options = { env: { ...process.env, ...env }, timeout: limit(90_000) };
    return (await run(process.execPath, [file, ...args], options)).stdout;
  };

  it("does what a program of E2B's does, with another import", async () => {
    const source = join(projectDirectory, "test/sandboxes/e2b-program.ts");
    await installed.link("e2b");
    const url = `http://127.0.0.1:${port}`;
    const theirs = await withImport(source, "e2b", "e2b");
    const expected = await program(theirs, { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: "any" }, "both");
    const ours = await withImport(source, "e2b", "a3s-box-sdk");
    expect(await program(ours, {}, "both")).to.equal(expected);
    expect(expected.split("\n").length).to.be.greaterThan(30);
  });

  it("has types that hold for that program, and is there for CommonJS", async () => {
    const source = join(projectDirectory, "test/sandboxes/e2b-program.ts");
    await writeFile(join(installed.directory, "typed.ts"), await withImport(source, "e2b", "a3s-box-sdk"));
    const options = ["--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom", "--strict", "--noEmit"];
    const words = [join(projectDirectory, "node_modules/typescript/bin/tsc"), ...options, "--skipLibCheck", "typed.ts"];
    const checked = run(process.execPath, words, { cwd: installed.directory });
    const required = 'require("a3s-box-sdk").Sandbox.create.name';
    const { stdout } = await run(process.execPath, ["-p", required], { cwd: installed.directory });
    expect(stdout).to.equal("create\n");
    await checked;
  });

  it("does what its examples say", async () => {
    const said = async (name: string): Promise<string> =>
      await program(await readFile(join(projectDirectory, "sdk/typescript/examples", `${name}.ts`), "utf8"), {});
    expect(await said("quickstart")).to.equal("42\nhello from outside\n");
    expect(await said("stream")).to.equal("1\n2\n3\nexit status 7, after 6 characters\n");
    expect(await said("port")).to.equal("hello from inside\n");
  });

  it("finds the runtime by TCP and by a helper for a vsock as well, and by HTTP/1.1 alone", async () => {
    const { sandboxId } = sandbox;
    const helper = join(scratch, "helper.mjs");
    const connect = `connect({ path: "${scratch}/sandboxes.sock", allowHalfOpen: true })`;
    const join_ = "process.stdin.pipe(socket); socket.pipe(process.stdout);";
    await writeFile(helper, `import { connect } from "node:net"; const socket = ${connect}; ${join_}`);
    const local = await sdk.Sandbox.create("small", { endpoint: `localhost:${port}`, cwd: "/tmp" });
    for (const opts of [
      { endpoint: `tcp://127.0.0.1:${port}` },
      { endpoint: `localhost:${port}`, protocol: "http" },
    ] as const) {
      const again = await sdk.Sandbox.connect(local.sandboxId, opts);
      expect((await again.commands.run("echo by $0")).stdout).to.match(/^by .*sh\n$/);
      await again.files.write("a", "of a file");
      expect(await again.files.read("a")).to.equal("of a file");
    }
    const byHttp = { endpoint: `localhost:${port}`, protocol: "http" } as const;
    for (const opts of [{ endpoint: `localhost:${port}` }, byHttp]) {
      const paused = await sdk.Sandbox.connect(local.sandboxId, opts);
      expect(await paused.pause()).to.equal(true);
      expect((await local.getInfo()).state).to.equal("paused");
      expect(await failure(local.commands.run("true"))).to.be.instanceOf(sdk.FailedPreconditionError);
      expect((await (await sdk.Sandbox.connect(local.sandboxId, opts)).commands.run("echo on")).stdout).to.equal(
        "on\n",
      );
    }
    expect(local.getHost(80)).to.equal(`80-${local.sandboxId}.localhost:${port}`);
    await local.kill();
    const vsockHelper = [process.execPath, helper];
    const by = await sdk.Sandbox.connect(sandboxId, { endpoint: "vsock://2:4088", vsockHelper });
    expect((await by.commands.run(["echo", "by a vsock"])).stdout).to.equal("by a vsock\n");
    expect(() => by.getHost(80)).to.throw(sdk.InvalidArgumentError, "ports.forward");
  });

  it("streams a program's output no faster than it is read, from any byte, and to many", async () => {
    const bytes = 12 * mebibyte;
    const writer = await sandbox.commands.start(`yes | head -c ${bytes}; echo end >&2`, { timeoutMs: 0 });
    let read = 0;
    let errors = "";
    for await (const part of writer.output()) {
      expect(part).not.to.have.property("lost");
      if (!("data" in part)) continue;
      expect(part.offset).to.equal(read);
      read += part.data.length;
      if (part.stream === "stderr") errors += Buffer.from(part.data).toString();
    }
    expect([read, errors]).to.deep.equal([bytes + 4, "end\n"]);
    expect((await writer.wait()).stdout.length).to.equal(bytes);
    const tail = await sandbox.commands.connect(writer.pid, { from: { offset: bytes - 4 } });
    expect(await tail.wait()).to.include({ stdout: "y\ny\n", stderr: "end\n", lostBytes: 0 });
    const [ended] = (await sandbox.commands.list({ ended: true })).filter(({ pid }) => pid === writer.pid);
    expect(ended?.exit).to.include({ exitCode: 0, timedOut: false });
    const short = await sandbox.commands.start("yes", { maxOutputBytes: 100_000, timeoutMs: 0 });
    expect(await failure(short.wait())).to.be.instanceOf(sdk.QuotaError);
    expect(await sandbox.commands.signal(short.pid, 15)).to.equal(true);
    const gone = await sandbox.commands.connect(short.pid, { from: "now" });
    expect(await failure(gone.wait())).to.include({ exitCode: -1, error: "signal: terminated", signal: 15 });
    expect(await sandbox.commands.kill(99_999)).to.equal(false);
    expect(await failure(sandbox.commands.connect(99_999))).to.be.instanceOf(sdk.ProcessNotFoundError);
    expect(await failure(sandbox.commands.run(["/no/such"]))).to.be.instanceOf(sdk.ProcessNotFoundError);
  });

  it("writes and reads in pieces, watches, moves, and tells of files", async () => {
    const { files } = sandbox;
    async function* pieces(): AsyncGenerator<Uint8Array, void> {
      for (let at = 0; at < 20; at += 1) yield await Promise.resolve(new Uint8Array(500_000).fill(at));
    }
    await files.write("/tmp/f/pieces", pieces(), { mode: 0o600 });
    expect(await files.stat("/tmp/f/pieces")).to.include({ size: 10_000_000, mode: 0o600, permissions: "-rw-------" });
    async function* broken(): AsyncGenerator<Uint8Array, void> {
      yield new Uint8Array(500_000);
      await Promise.resolve();
      throw new Error("the source broke");
    }
    expect(await failure(files.write("/tmp/f/half", broken()))).to.have.property("message", "the source broke");
    expect((await files.list("/tmp/f")).map(({ name }) => name)).to.deep.equal(["pieces"]);
    const events = files.watch("/tmp/f", { recursive: true });
    const first = events.next();
    const seen: string[] = [];
    const pause = (): Promise<undefined> => delay(100, undefined);
    const change = async (): Promise<true | undefined> => {
      await files.move("/tmp/f/pieces", "/tmp/f/moved");
      await files.move("/tmp/f/moved", "/tmp/f/pieces");
      const next = await Promise.race([first, pause()]);
      if (next?.done === false) seen.push(next.value.type);
      return seen.length > 0 ? true : undefined;
    };
    await eventually("a change is seen", 20_000, change);
    await events.return();
    expect(seen).to.deep.equal(["rename"]);
    expect(await failure(files.write("/tmp/f", "x"))).to.be.instanceOf(sdk.InvalidArgumentError);
    const denied = await failure(files.write("/proc/self/x", "x"));
    expect(denied).to.be.instanceOf(sdk.SandboxError).with.property("sandboxId", sandbox.sandboxId);
  });

  it("connects to ports, and leads a port of this machine to one", async () => {
    const server = await sandbox.commands.start("while :; do nc -l -p 7001 -e cat; done", { timeoutMs: 0 });
    const talk = async (): Promise<string> => {
      const connection = await sandbox.ports.connect(7001);
      connection.end("hello");
      let answer = "";
      for await (const chunk of connection) answer += String(chunk);
      return answer;
    };
    const answer = await eventually("the program listens", 20_000, talk);
    expect(answer).to.equal("hello");
    const forwarded = await sandbox.ports.forward(7001);
    const big = Buffer.alloc(3 * mebibyte, "x");
    const echoed = await eventually("it listens again", 20_000, async () => {
      const socket = createConnection(forwarded.port, forwarded.host);
      socket.end(big);
      let bytes = 0;
      for await (const chunk of socket as AsyncIterable<Buffer>) bytes += chunk.length;
      return bytes === 0 ? undefined : bytes;
    });
    expect(echoed).to.equal(big.length);
    await forwarded.close();
    await server.kill();
    expect(await failure(sandbox.ports.connect(7002))).to.be.instanceOf(sdk.FailedPreconditionError);
    expect(await failure(sandbox.ports.connect(0))).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  it("says in the runtime's words what can't be had", async () => {
    for (const [call, kind, words] of [
      [() => sdk.Sandbox.create("no such"), sdk.SandboxError, "Sandbox.create"],
      [() => sdk.Sandbox.create("small", { cpuCount: 100_000 }), sdk.InvalidArgumentError, "vcpus"],
      [() => sdk.Sandbox.create("small", { timeoutMs: -1 }), sdk.InvalidArgumentError, "timeoutMs"],
      [() => sdk.Sandbox.connect("nobodys00nobodys0000"), sdk.SandboxNotFoundError, "nobodys00nobodys0000"],
      [() => sandbox.commands.run("true", { user: "nobody-here" }), sdk.InvalidArgumentError, "nobody-here"],
      [() => sdk.Sandbox.list({ endpoint: "unix:///no/such" }).nextItems(), sdk.UnavailableError, "serve --sandboxes"],
    ] as const) {
      const error = await failure(call());
      expect(error, words).to.be.instanceOf(kind);
      expect(String(error)).to.contain(words);
    }
  });

  it("goes on where it was when the daemon is killed and comes back", async () => {
    const lines = 12;
    const counted = Array.from({ length: lines }, (_, at) => `${at + 1}\n`).join("");
    const told: string[] = [];
    const count = `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo $i; sleep 0.7; done`;
    const running = sandbox.commands.run(count, { onStdout: (text) => void told.push(text) });
    const reader = (await sandbox.files.read("/tmp/f/pieces", { format: "stream" })).getReader();
    let bytes = (await reader.read()).value?.length ?? 0;
    let ended: Error | undefined;
    await sandbox.files.watchDir("/tmp", () => undefined, {
      onExit: (error) => {
        ended = error;
      },
    });
    await eventually("it counts", 20_000, () => (told.length > 0 ? true : undefined));
    await daemon.stop("SIGKILL");
    const written = sandbox.files.write("/tmp/while-away", "x".repeat(mebibyte));
    await daemon.launch();
    expect((await running).stdout).to.equal(counted);
    expect(told.join("")).to.equal(counted);
    expect((await written).path).to.equal("/tmp/while-away");
    for (let next = await reader.read(); !next.done; next = await reader.read()) bytes += next.value.length;
    expect(bytes).to.equal(10_000_000);
    expect(ended).to.be.instanceOf(sdk.UnavailableError);
    expect((await sandbox.getInfo()).metadata).to.deep.equal({ of: "the test" });
  });
});

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it succeeded");
}
