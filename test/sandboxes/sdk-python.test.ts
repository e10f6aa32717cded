/** The SDK of `sdk/python`, as its wheel installs it: every method of both clients, its examples, a program of E2B's. */
import { expect } from "chai";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Edge } from "../../src/cli/client/connect.js";
import { findEndpoint } from "../../src/cli/client/endpoint.js";
import { SandboxServiceService as service } from "../../src/gen/sandboxes/v1/sandboxes.js";
import { Daemon } from "../support/daemon.js";
import { projectDirectory } from "../support/project.js";
import { freePort } from "../support/free-port.js";
import { agentImage, agentImageName } from "../support/sandboxes/agent-image.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const site = join(projectDirectory, "build/assets/python-sdk/site");
const sources = join(projectDirectory, "sdk/python");

const everySandbox = {
  ...{ metadata: {}, states: [], template: "", startedAfter: undefined, pageSize: 0, pageToken: "" },
};

describe("the Python SDK", function () {
  this.timeout(limit(120_000));
  let scratch: string;
  let daemon: Daemon | undefined;
  let url: string;
  let socket: string;

  before(async function () {
    if (!existsSync(python) || !existsSync(site)) skipBecause(this, "no python-sdk: the set-up says why");
    scratch = await mkdtemp(join(tmpdir(), "a3s-sdk-"));
    socket = `unix://${scratch}/s.sock`;
    const address = `127.0.0.1:${String(await freePort())}`;
    url = `http://${address}`;
    const config = [
      ...["[sandboxes]", `listen = ["tcp://${address}", "${socket}"]`, 'pull = "never"', "life_ms = 600000", ""],
      ...["[templates.base]", `image = "${agentImageName}"`, "vcpus = 1", "memory_mib = 256", ""],
      ...["[agents.fake]", 'kind = "custom"', 'command = ["sh", "/tmp/fake.sh"]', ""],
      ...["[templates.agent]", `image = "${agentImageName}"`, "vcpus = 1", "memory_mib = 256", 'agent = "fake"', ""],
    ];
    daemon = await Daemon.start({ images: [await agentImage()], config: config.join("\n") });
  });

  after(async () => {
    if (daemon === undefined) return;
    // A test that has failed may have left some, which hold what the daemon would remove.
    using edge = await Edge.connect(await findEndpoint(socket, {}));
    const { sandboxes } = await edge.call(service.listSandboxes, everySandbox);
    await Promise.all(sandboxes.map(({ id }) => edge.call(service.endSandbox, { sandboxId: id })));
    await daemon.remove();
    await rm(scratch, { recursive: true });
  });

  /** Python with the SDK as it is installed; nothing of the sources is on its path. */
  const begin = (args: readonly string[], env: Readonly<Record<string, string>>, cwd = scratch): ChildProcess =>
    spawn(python, args, {
      cwd,
      env: { ...process.env, PYTHONPATH: site, PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1", ...env },
      stdio: "pipe",
    });

  const run = async (args: readonly string[], env: Readonly<Record<string, string>>, cwd?: string): Promise<string> =>
    await said(begin(args, env, cwd));

  it("does what it says: its own tests, and every method of both clients in real sandboxes", async function () {
    this.timeout(limit(300_000));
    await run(["-m", "pytest", "--tb=short", "--rootdir", sources, join(sources, "tests")], {
      A3S_BOX_ENDPOINT: socket,
      A3S_BOX_FAKE_AGENT: join(projectDirectory, "test/support/agents/fake-agent.sh"),
    });
  });

  it("is found at a TCP port, by gRPC and by HTTP", async () => {
    const program = [
      "from a3s_box_sdk import Sandbox",
      "found = [len(Sandbox.list(protocol=protocol).next_items()) for protocol in ('grpc', 'http')]",
      "assert found[0] == found[1], found",
    ];
    await run(["-c", program.join("\n")], { A3S_BOX_ENDPOINT: url });
  });

  it("runs a program that was written for E2B's SDK, with its import changed and nothing else", async () => {
    const original = join(projectDirectory, "test/sandboxes/sdk_python_same.py");
    const changed = join(scratch, "same.py");
    await writeFile(changed, (await readFile(original, "utf8")).replace("from e2b import", "from a3s_box_sdk import"));
    const [theirs, ours] = await Promise.all([
      run([original], { E2B_API_KEY: "any", E2B_API_URL: url, E2B_SANDBOX_URL: url }),
      run([changed], { A3S_BOX_ENDPOINT: socket }),
    ]);
    expect(ours).to.equal(theirs);
  });

  it("loses no byte, and doubles none, when the daemon is killed under it", async () => {
    const child = begin([join(projectDirectory, "test/sandboxes/sdk_python_killed.py")], { A3S_BOX_ENDPOINT: socket });
    let text = "";
    child.stdout?.on("data", (part: Buffer) => (text += part.toString()));
    const end = said(child);
    await Promise.race([end, eventually("it reads", 60_000, () => text.includes("reading") || undefined)]);
    await daemon?.stop("SIGKILL");
    child.stdin?.write("killed\n");
    await daemon?.launch();
    expect(await end).to.match(/done\n$/);
  });

  it("has examples that run", async () => {
    const directory = join(sources, "examples");
    const examples = (await readdir(directory)).filter((name) => name.endsWith(".py"));
    expect(examples).to.include("first.py");
    await Promise.all(examples.map((name) => run([join(directory, name)], { A3S_BOX_ENDPOINT: socket })));
  });

  it("is typed, as mypy --strict has it", async () => {
    const args = ["--config-file", join(sources, "pyproject.toml"), "--cache-dir", join(scratch, "mypy")];
    await run(["-m", "mypy", ...args, join(site, "a3s_box_sdk")], {}, site);
  });
});

/** What a program has written, once it has ended well. */
async function said(child: ChildProcess): Promise<string> {
  let [output, all] = ["", ""];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      all += text;
      if (stream === child.stdout) output += text;
    });
  }
  const status = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  expect(status, all).to.equal(0);
  return output;
}
