/** The commands for people, as programs of their own, before a daemon that serves sandboxes and no CRI. */
import { expect } from "chai";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon } from "../support/daemon.js";
import { startHostileRegistry, type HostileRegistry } from "../support/hostile-registry.js";
import { busybox, busyboxImage, busyboxSource } from "../support/images.js";
import { projectDirectory } from "../support/project.js";
import { buildLayer } from "../support/tar-builder.js";
import { eventually, limit } from "../support/wait.js";

describe("the commands for people", function () {
  this.timeout(limit(60_000));
  let daemon: Daemon;
  let scratch: string;
  let endpoint: string;
  let registry: HostileRegistry;
  before(async () => {
    registry = await startHostileRegistry();
    scratch = await mkdtemp(join(tmpdir(), "a3s-client-"));
    endpoint = `unix://${scratch}/sandboxes.sock`;
    const config = [
      ...["[image]", `plain_http = ["${registry.host}"]`, ""],
      ...["[sandboxes]", `listen = ["${endpoint}"]`, `images = ["${registry.host}/*"]`, 'pull = "missing"', ""],
      ...["[templates.base]", `image = "${busyboxImage}"`, "vcpus = 1", "memory_mib = 256", ""],
    ];
    daemon = await Daemon.start({ images: [await busybox()], config: config.join("\n") });
  });
  after(async () => {
    await box(["rm", "-a"]);
    await daemon.remove();
    await registry.stop();
    await rm(scratch, { recursive: true });
  });

  const begin = (args: readonly string[], at = endpoint): ChildProcess =>
    spawn(process.execPath, [join(projectDirectory, "dist/main.js"), ...args], {
      env: { ...process.env, A3S_BOX_ENDPOINT: at, SOME_VALUE: "of mine" },
    });
  const box = async (args: readonly string[], stdin = "", at = endpoint) => {
    const child = begin(args, at);
    child.stdin?.end(stdin);
    return await ended(child);
  };

  it("run a program with its output, input, variables and exit status, and end its sandbox", async () => {
    const line = 'cat; echo "$SOME_VALUE $OTHER"; echo err >&2; exit 7';
    const result = await box(
      ["run", "-i", "--rm", "-e", "SOME_VALUE", "-e", "OTHER=1", "base", "sh", "-c", line],
      "in\n",
    );
    expect(result).to.deep.equal({ status: 7, stdout: "in\nof mine 1\n", stderr: "err\n" });
    expect((await box(["ps", "-q"])).stdout).to.equal("");
  });

  it("give the image's own program the arguments that begin with a dash", async () => {
    expect((await box(["run", "--rm", "base", "-c", "echo $((6 * 7))"])).stdout).to.equal("42\n");
  });

  it("name, list, look into and end a sandbox that runs on", async () => {
    const { stdout: id } = await box([
      "run",
      "-d",
      "--name",
      "mine",
      "base",
      "sh",
      "-c",
      "seq 1 1000; exec sleep 1000",
    ]);
    expect(id).to.match(/^[a-z0-9]{20}\n$/);
    expect((await box(["ps"])).stdout)
      .to.match(/^ID +NAME/)
      .and.match(new RegExp(`\\n${id.trim()} +mine +base +running`));
    expect((await box(["exec", "mine", "echo", "-n", "more"])).stdout).to.equal("more");
    expect((await box(["logs", "mine"])).stdout).to.equal(seq(1000));
    expect((await box(["exec", id.slice(0, 6), "false"])).status).to.equal(1);
    expect((await box(["stop", "-t", "1", "mine"])).status).to.equal(0);
    expect(await box(["exec", "mine", "true"])).to.deep.include({ status: 1, stdout: "" });
  });

  it("follow a log to the program's end", async () => {
    await box(["run", "-d", "--name", "follows", "base", "sh", "-c", "echo a; sleep 0.5; echo b"]);
    expect((await box(["logs", "-f", "follows"])).stdout).to.equal("a\nb\n");
  });

  it("copy files and directories there and back", async () => {
    await mkdir(join(scratch, "tree/in"), { recursive: true });
    await writeFile(join(scratch, "tree/in/big"), Buffer.alloc(300_000, "x"));
    await writeFile(join(scratch, "tree/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
    await box(["run", "-d", "--name", "copies", "base", "sleep", "1000"]);
    expect(await box(["cp", join(scratch, "tree"), "copies:/tmp/there"])).to.deep.equal({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(
      (await box(["exec", "copies", "sh", "-c", "wc -c </tmp/there/in/big; test -x /tmp/there/run.sh"])).stdout,
    ).to.match(/300000/);
    expect((await box(["cp", "copies:/tmp/there", join(scratch, "back")])).status).to.equal(0);
    expect((await readFile(join(scratch, "back/in/big"))).length).to.equal(300_000);
    expect((await box(["cp", "copies:/nothing", scratch])).stderr).to.contain("/nothing is not in the sandbox");
    await box(["rm", "copies"]);
  });

  it("pass Ctrl-C on to the program", async () => {
    const child = begin([
      "run",
      "--rm",
      "base",
      "sh",
      "-c",
      "trap 'echo got it; exit 3' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    await eventually("the program is ready", 10_000, () =>
      Promise.resolve(output.includes("ready") ? true : undefined),
    );
    child.kill("SIGINT");
    const { status } = await ended(child);
    expect({ status, output }).to.deep.equal({ status: 3, output: "ready\ngot it\n" });
  });

  it("lead a port of this machine into a sandbox, and the endpoint to one", async () => {
    await box(["run", "-d", "--name", "ports", "base", "sh", "-c", "while :; do nc -l -p 7000 -e cat; done"]);
    const forwarding = begin(["port-forward", "ports", ":7000"]);
    const local = await portSaid(forwarding);
    const answer = async () => ((await talk(local, "hello")) === "hello" ? true : undefined);
    await eventually("the program in the sandbox answers", 10_000, answer);
    forwarding.kill("SIGTERM");
    expect((await ended(forwarding)).status).to.equal(0);
    const forward = begin(["forward", ":4088"]);
    const at = await portSaid(forward);
    expect((await box(["ps", "-q"], "", `127.0.0.1:${at}`)).stdout).to.match(/^[a-z0-9]{20}\n/);
    forward.kill("SIGTERM");
    await ended(forward);
    await box(["rm", "-a"]);
  });

  it("show the pull of an image, and leave nothing of it when they are interrupted", async () => {
    // The other one is in the store already: it comes with the image of the template.
    const layer = buildLayer([{ name: "new", content: randomBytes(300_000) }]);
    const source = await busyboxSource({}, [layer]);
    const { reference } = registry.serve("slow", "1", source);
    let asked = false;
    let hungUp = false;
    registry.answer(`/blobs/${layer.digest}`, (_, response) => {
      asked = true;
      response.writeHead(200, { "content-length": layer.bytes.length }).write(layer.bytes.subarray(0, 100_000));
      response.once("close", () => (hungUp = true));
    });
    const interrupted = begin(["run", "--rm", reference, "true"]);
    let said = "";
    interrupted.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
    const end = new Promise((resolve) => interrupted.once("close", resolve));
    await eventually("it tells what comes", 20_000, () => (asked && said.includes("2 layers, ") ? true : undefined));
    interrupted.kill("SIGINT");
    await end;
    await eventually("the pull has been given up", 20_000, () => (hungUp ? true : undefined));
    expect((await box(["ps", "-q"])).stdout).to.equal("");
    registry.serve("slow", "1", source);
    const { status, stderr } = await box(["run", "--rm", reference, "true"]);
    expect(status, stderr).to.equal(0);
    expect(stderr).to.match(/^2 layers, [\d.]+ MiB\n[0-9a-f]{12} downloaded, [\d.]+ MiB\n$/);
    expect(await box(["run", "--rm", reference, "true"])).to.deep.equal({ status: 0, stdout: "", stderr: "" });
  });

  it("say what is wrong, and what to do", async () => {
    for (const [args, status, text] of [
      [["run"], 2, "which template or image?"],
      [["run", "no-such", "true"], 1, "no-such"],
      [["run", "-v", "a:b", "base", "true"], 2, "DIR:DIR"],
      [["run", "--memory", "lots", "base", "true"], 2, "512m, 2g"],
      [["exec", "nobody", "true"], 1, "`a3s-box ps` lists them"],
      [["cp", "a", "b"], 2, "SANDBOX:PATH"],
      [["port-forward", "x", "99999"], 2, "no port"],
    ] as const) {
      const result = await box(args);
      expect(result.status, args.join(" ")).to.equal(status);
      expect(result.stderr).to.contain(text);
    }
    const nobody = await box(["ps"], "", "unix:///nowhere/sandboxes.sock");
    expect(nobody.status).to.equal(1);
    expect(nobody.stderr).to.contain("nobody serves sandboxes").and.contain("serve --sandboxes");
  });
});

async function ended(child: ChildProcess): Promise<{ status: number | null; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  if (child.exitCode !== null) return { status: child.exitCode, stdout, stderr };
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, stdout, stderr };
}

async function portSaid(child: ChildProcess): Promise<number> {
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const found = await eventually("it says its port", 10_000, () =>
    Promise.resolve(/^127\.0\.0\.1:(\d+) -> /.exec(output)?.[1]),
  );
  return Number(found);
}

async function talk(port: number, text: string): Promise<string> {
  const socket = createConnection({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(text);
  let answer = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
  return answer;
}

function seq(last: number): string {
  return Array.from({ length: last }, (_, at) => `${at + 1}\n`).join("");
}
