/**
 * The agents' port by a vsock, with both SDKs at its other end. Needs a kernel that reaches itself by one (vsock_loopback), which
 * that of the nested VM has (`npm run test:krun` runs this file there, docs/adr/0140); elsewhere it is skipped.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { AuthenticationError, Sandbox } from "../../sdk/typescript/src/index.js";
import { loadNative } from "../../src/native/addon.js";
import { projectDirectory } from "../support/project.js";
import { DoubleSandboxes } from "../support/sandboxes/double.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import type { Bed } from "../unit/sandboxes/listen/bed.js";
import { failure, openSandboxes } from "../unit/sdk/bed.js";

const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const site = join(projectDirectory, "build/assets/python-sdk/site");
const run = promisify(execFile);
const token = "0123456789abcdef-of-the-test";
const port = 4088;
const endpoint = `vsock://1:${String(port)}`;

/** Joins its standard input and output to a vsock: what `socat - VSOCK-CONNECT:1:4088` does. */
const helper = `
import os, socket, sys, threading
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
s.connect((int(sys.argv[1]), int(sys.argv[2])))
def sending():
    while data := os.read(0, 65536):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=sending, daemon=True).start()
while data := s.recv(65536):
    os.write(1, data)
`;
const program = `
import a3s_box_sdk as a3s
sandbox = a3s.Sandbox.create("base")
assert sandbox.commands.run("echo out").stdout == "out\\n"
data = bytes(range(256)) * 8192
sandbox.files.write("large", data)
assert bytes(sandbox.files.read("large", format="bytes")) == data
assert sandbox.kill()
print("done")
`;

describe("the agents' port", function () {
  this.timeout(limit(60_000));
  let scratch: string;
  let sandboxes: DoubleSandboxes | undefined;
  let bed: Bed;

  before(async function () {
    const bind = `import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).bind((1, ${String(port)}))`;
    const reaches = await run("python3", ["-c", bind]).then(
      () => true,
      () => false,
    );
    if (!reaches) skipBecause(this, "this kernel does not reach itself by a vsock");
    scratch = await mkdtemp(join(tmpdir(), "a3s-vsock-"));
    await writeFile(join(scratch, "token"), `${token}\n`);
    await writeFile(join(scratch, "helper.py"), helper);
    sandboxes = await DoubleSandboxes.open();
    const { native } = loadNative(join(projectDirectory, "build/assets"));
    const tokens = ["[sandboxes.tokens.ci]", `token_file = "${scratch}/token"`, 'tenant = "team"'];
    const toml = [`listen = ["vsock://:${String(port)}"]`, "max_connections = 16", ...tokens].join("\n");
    bed = await openSandboxes(sandboxes, toml, { native });
  });

  after(async () => {
    if (sandboxes === undefined) return;
    await bed.close();
    await sandboxes.close();
    await rm(scratch, { recursive: true });
  });

  const dial = (): { vsockHelper: string[]; endpoint: string } => ({
    endpoint,
    vsockHelper: ["python3", join(scratch, "helper.py"), "{cid}", "{port}"],
  });

  for (const protocol of ["grpc", "http"] as const) {
    it(`serves the TypeScript SDK by a vsock and a helper program, by ${protocol}`, async () => {
      const opts = { ...dial(), protocol, token };
      const sandbox = await Sandbox.create(opts);
      expect(await sandbox.commands.run("echo out; echo err >&2")).to.include({ stdout: "out\n", stderr: "err\n" });
      const bytes = new Uint8Array(2_000_000).fill(7);
      await sandbox.files.write("bytes", bytes);
      expect(Buffer.compare(await sandbox.files.read("bytes", { format: "bytes" }), bytes)).to.equal(0);
      expect(await sandbox.kill()).to.equal(true);
    });
  }

  it("takes nobody without a token by a vsock, whatever machine that is", async () => {
    for (const protocol of ["grpc", "http"] as const) {
      for (const wrong of [{}, { token: "nobody's-0123456789" }]) {
        const refused = await failure(Sandbox.create({ ...dial(), protocol, ...wrong }));
        expect(refused, protocol).to.be.instanceOf(AuthenticationError);
      }
    }
    const isNamed = bed.lines.some((line) => line.includes("vsock 1"));
    expect(isNamed, bed.lines.join("")).to.equal(true);
  });

  it("serves the Python SDK, which dials by a vsock itself", async function () {
    if (!existsSync(python) || !existsSync(site)) skipBecause(this, "no python-sdk: the set-up says why");
    const env = { ...process.env, A3S_BOX_ENDPOINT: endpoint, A3S_BOX_TOKEN: token, PYTHONPATH: site };
    const { stdout } = await run(python, ["-B", "-c", program], { env, timeout: limit(50_000) });
    expect(stdout).to.equal("done\n");
  });

  it("holds no more than it may by a vsock, and lets in the next where those say nothing", async () => {
    const many = `
import socket, time
held = []
for _ in range(200):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(1)
    try:
        s.connect((1, ${String(port)}))
    except OSError:
        break
    held.append(s)
print(len(held), flush=True)
time.sleep(600)`;
    const child = spawn("python3", ["-c", many], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await new Promise((resolve) => child.stdout.once("data", resolve));
      const sandbox = await eventually("who has a token gets in", 30_000, () => Sandbox.create({ ...dial(), token }));
      expect(await sandbox.kill()).to.equal(true);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
