/** Each way to the runtime, with the one port at its end. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  AuthenticationError,
  CommandExitError,
  FileNotFoundError,
  Sandbox,
  SandboxNotFoundError,
  TimeoutError,
  UnavailableError,
  UnimplementedError,
  type SandboxOpts,
} from "../../../sdk/typescript/src/index.js";
import { makeAuthority, type TestAuthority } from "../../support/certificates.js";
import { DoubleSandboxes } from "../../support/sandboxes/double.js";
import { eventually } from "../../support/wait.js";
import { portOf, type Bed } from "../sandboxes/listen/bed.js";
import { failure, openSandboxes } from "./bed.js";

const token = "0123456789abcdef-of-the-test";

describe("the SDK's transports", function () {
  this.timeout(20_000);
  let scratch: string;
  let authority: TestAuthority;
  let sandboxes: DoubleSandboxes;
  let unix: Bed;
  let plain: Bed;
  let secured: Bed;
  let tlsPort: number;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-sdk-unit-"));
    authority = await makeAuthority();
    sandboxes = await DoubleSandboxes.open();
    const { certFile, keyFile } = await authority.issue("box", "IP:127.0.0.1,DNS:localhost");
    await writeFile(join(scratch, "token"), `${token}\n`);
    unix = await openSandboxes(sandboxes, `listen = ["unix://${scratch}/s"]`);
    plain = await openSandboxes(sandboxes, 'listen = ["tcp://127.0.0.1:0"]');
    const tls = [`tls_cert_file = "${certFile}"`, `tls_key_file = "${keyFile}"`];
    const tokens = ["[sandboxes.tokens.ci]", `token_file = "${scratch}/token"`, 'tenant = "team"'];
    secured = await openSandboxes(sandboxes, ['listen = ["tcp://127.0.0.1:0"]', ...tls, ...tokens].join("\n"));
    tlsPort = portOf(secured);
  });

  after(async () => {
    await Promise.all([unix, plain, secured].map((bed) => bed.close()));
    await sandboxes.close();
    await authority.remove();
    await rm(scratch, { recursive: true });
  });

  const ca = async (): Promise<string> => await readFile(authority.certFile, "utf8");

  /** What every way has. */
  const works = async (opts: SandboxOpts): Promise<void> => {
    const sandbox = await Sandbox.create({ ...opts, metadata: { of: "a way" }, timeoutMs: 600_000 });
    expect(await sandbox.commands.run("echo out; echo err >&2")).to.include({ stdout: "out\n", stderr: "err\n" });
    expect(await failure(sandbox.commands.run(["sh", "-c", "exit 3"])))
      .to.be.instanceOf(CommandExitError)
      .with.property("exitCode", 3);
    const bytes = new Uint8Array(1_000_000).fill(7);
    const { cwd } = await sandbox.getInfo();
    expect(await sandbox.files.write("d/bytes", bytes)).to.deep.equal({
      ...{ name: "bytes", path: join(cwd, "d/bytes"), type: "file" },
    });
    expect(Buffer.compare(await sandbox.files.read("d/bytes", { format: "bytes" }), bytes)).to.equal(0);
    expect((await sandbox.files.list("d")).map(({ name, size }) => [name, size])).to.deep.equal([["bytes", 1_000_000]]);
    expect(await sandbox.files.getInfo("d")).to.include({ type: "dir", path: join(cwd, "d") });
    expect([await sandbox.files.exists("d/bytes"), await sandbox.files.exists("none")]).to.deep.equal([true, false]);
    expect(await failure(sandbox.files.read("none"))).to.be.instanceOf(FileNotFoundError);
    const broken = new Error("the source broke");
    async function* half(): AsyncGenerator<Uint8Array, void> {
      yield await Promise.resolve(bytes);
      throw broken;
    }
    expect(await failure(sandbox.files.write("d/half", half()))).to.equal(broken);
    const isGone = async (): Promise<true | undefined> =>
      (await sandbox.files.list("d")).length === 1 ? true : undefined;
    await eventually("nothing is left of the half", 10_000, isGone);
    await sandbox.files.remove("d");
    const found: string[] = [];
    const mine = Sandbox.list({ ...opts, query: { metadata: { of: "a way" } } });
    for await (const { sandboxId, metadata } of mine) if (metadata["of"] === "a way") found.push(sandboxId);
    expect(found).to.include(sandbox.sandboxId);
    await sandbox.setTimeout(3_000_000);
    expect((await sandbox.getInfo()).endAt.getTime()).to.be.greaterThan(Date.now() + 2_000_000);
    expect([await sandbox.kill(), await sandbox.kill(), await sandbox.isRunning()]).to.deep.equal([true, false, false]);
    expect(await failure(Sandbox.connect(sandbox.sandboxId, opts))).to.be.instanceOf(SandboxNotFoundError);
    expect(await failure(sandbox.commands.run("true"))).to.be.instanceOf(SandboxNotFoundError);
  };

  for (const protocol of ["grpc", "http"] as const) {
    it(`are a Unix socket, a port and TLS with a token, by ${protocol}`, async () => {
      await works({ protocol, endpoint: `unix://${scratch}/s` });
      await works({ protocol, endpoint: `127.0.0.1:${portOf(plain)}` });
      await works({ protocol, endpoint: `https://localhost:${tlsPort}`, token, ca: await ca() });
    });

    it(`are a vsock by a helper program, by ${protocol}`, async () => {
      // Any program that joins its standard input and output to the place does; the kernel of a test has no vsock to itself.
      const helper = join(scratch, "helper.mjs");
      const lines = [
        'import { connect } from "node:net";',
        `const socket = connect({ path: "${scratch}/s", allowHalfOpen: true });`,
        "process.stdin.pipe(socket);",
        "socket.pipe(process.stdout);",
        'if (process.argv.slice(2).join() !== "3,4088") process.exit(1);',
      ];
      await writeFile(helper, lines.join("\n"));
      await works({ protocol, endpoint: "vsock://3:4088", vsockHelper: ["node", helper, "{cid}", "{port}"] });
    });
  }

  it("say who is not known, and which authority is not", async () => {
    const endpoint = `https://localhost:${tlsPort}`;
    const named = { endpoint, ca: await ca() };
    for (const protocol of ["grpc", "http"] as const) {
      for (const wrong of [{}, { token: "nobody's-0123456789" }]) {
        const error = await failure(Sandbox.create({ ...named, ...wrong, protocol }));
        expect(error).to.be.instanceOf(AuthenticationError).with.property("code", "unauthenticated");
      }
    }
    const unknown = await failure(Sandbox.create({ endpoint, token }));
    expect(unknown).to.be.instanceOf(UnavailableError);
    expect(String(unknown)).to.match(/unable to|self.signed|certificate/);
  });

  it("that pass no streams say so of what needs them", async () => {
    const opts = { endpoint: `unix://${scratch}/s`, protocol: "http" } as const;
    const sandbox = await Sandbox.create(opts);
    for (const [what, call] of [
      ["start", () => sandbox.commands.start("true")],
      ["stdin", () => sandbox.commands.run("cat", { stdin: true })],
      ["pty", () => sandbox.pty.create({ cols: 80, rows: 24, onData: () => undefined })],
      ["watch", () => sandbox.files.watchDir(".", () => undefined)],
      ["port", () => sandbox.ports.connect(80)],
      ["outside", () => sandbox.files.read("/etc/hostname")],
      ["user", () => sandbox.files.read("x", { user: "root" })],
    ] as const) {
      const error = await failure(call());
      expect(error, what).to.be.instanceOf(UnimplementedError);
      expect(String(error), what).to.contain('protocol "grpc"');
    }
    await sandbox.kill();
  });

  it("end a call with its signal, its reason, and at its time; a command that run waits for ends too", async () => {
    const sandbox = await Sandbox.create({ endpoint: `unix://${scratch}/s` });
    const aborter = new AbortController();
    const why = new Error("enough");
    const waits = sandbox.commands.run("echo begun; exec sleep 600", {
      signal: aborter.signal,
      onStdout: () => {
        aborter.abort(why);
      },
    });
    expect(await failure(waits)).to.equal(why);
    const sleeper = await sandbox.commands.start("exec sleep 600");
    const late = await failure(sleeper.wait({ requestTimeoutMs: 20 }));
    expect(late).to.be.instanceOf(TimeoutError).with.property("sandboxId", sandbox.sandboxId);
    expect(sleeper.exitCode).to.equal(undefined);
    expect(await failure(Sandbox.connect(sandbox.sandboxId, { signal: AbortSignal.abort(why) }))).to.equal(why);
    expect((await sandbox.commands.list()).map(({ pid }) => pid)).to.deep.equal([sleeper.pid]);
    await sandbox.kill();
  });
});
