import { status as grpc } from "@grpc/grpc-js";
import { expect } from "chai";
import { failure, runtime } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { createContainer, exited, logLines, removeContainer, removePod, runPod, shell } from "../support/pods.js";
import { containerStatus, saidSomething, startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { spdyCommand, spdyConnect, type CommandOptions, type OpenCommand } from "../support/streaming/spdy-client.js";
import { eventually } from "../support/wait.js";

const nothing = { tty: false, stdin: false, stdout: false, stderr: false };
const outputs = { stdout: true, stderr: true };

describe("streaming", () => {
  let daemon: Daemon;
  let pod: Pod;
  let container: string;
  before(async () => {
    daemon = await sharedDaemon();
    pod = await runPod(daemon);
    container = await startContainer(daemon, pod);
  });
  after(async () => {
    await removePod(daemon, pod);
  });

  async function execUrl(cmd: readonly string[], options: CommandOptions): Promise<string> {
    const { url } = await daemon.cri.call(runtime.exec, {
      ...nothing,
      ...options,
      containerId: container,
      cmd: [...cmd],
    });
    return url;
  }

  async function exec(line: string, options: CommandOptions): Promise<OpenCommand> {
    return await spdyCommand(await execUrl(["sh", "-c", line], options), options);
  }

  async function attach(containerId: string, options: CommandOptions): Promise<OpenCommand> {
    const { url } = await daemon.cri.call(runtime.attach, { ...nothing, ...options, containerId });
    return await spdyCommand(url, options);
  }

  it("exec: gives both outputs apart, and the exit code in the status (30)", async () => {
    const { stdout, stderr, error } = await exec("echo out; echo err >&2; exit 7", outputs);
    expect(await stdout.ending()).to.equal("out\n");
    expect(await stderr.ending()).to.equal("err\n");
    const told = await error.ending();
    expect(told).to.include('"causes":[{"reason":"ExitCode","message":"7"}]');
    const good = await exec("true", outputs);
    expect(JSON.parse(await good.error.ending())).to.deep.equal({ status: "Success" });
  });

  it("exec: closes the program's stdin when the client's ends", async () => {
    const { stdin, stdout, error } = await exec("md5sum", { stdin: true, stdout: true });
    for (let count = 0; count < 32; count += 1) await stdin.write(Buffer.alloc(32 * 1024));
    await stdin.end();
    expect(await stdout.ending()).to.equal("b6d81b360a5672d80c27430f39153e2c  -\n");
    await error.ending();
  });

  it("exec: a terminal has the client's size, and every later one (31)", async () => {
    const options = { tty: true, stdin: true, stdout: true };
    const { stdin, stdout, resize, error } = await exec(
      "cat >/dev/null & read a; stty size; read b; stty size",
      options,
    );
    for (const [width, height] of [
      [91, 17],
      [102, 33],
    ] as const) {
      await resize.write(`{"Width":${String(width)},"Height":${String(height)}}\n`);
      await eventually(`the size is ${String(width)}`, 20_000, async () => {
        const sizes = await shell(daemon, container, "for t in /dev/pts/[0-9]*; do stty size -F $t; done");
        return sizes.includes(`${String(height)} ${String(width)}`) ? true : undefined;
      });
      await stdin.write("go\r");
      await eventually("it is told", 20_000, () =>
        stdout.text.includes(`${String(height)} ${String(width)}`) ? true : undefined,
      );
    }
    await error.ending();
  });

  it("exec: names a program that is not there", async () => {
    const { error } = await spdyCommand(await execUrl(["no-such-program"], outputs), outputs);
    expect(await error.ending()).to.match(/"code":500.*executable file not found/);
  });

  it("exec: a client that goes takes its command along", async () => {
    const { client } = await exec("sleep 4399 & sleep 4399", outputs);
    await eventually("it runs", 20_000, async () => {
      return (await shell(daemon, container, "pidof sleep || true")).trim().split(" ").length === 2 ? true : undefined;
    });
    client.destroy();
    await eventually("it is gone", 20_000, async () => {
      return (await shell(daemon, container, "pidof sleep || true")) === "" ? true : undefined;
    });
  });

  it("a URL is good for one client", async () => {
    const url = await execUrl(["true"], outputs);
    const { error } = await spdyCommand(url, outputs);
    await error.ending();
    const again = await spdyConnect(url, ["v4.channel.k8s.io"]).catch((thrown: unknown) => thrown);
    expect(again)
      .to.be.instanceOf(Error)
      .with.property("message")
      .that.matches(/^HTTP 404/);
  });

  it("attach: joins a shell that reads stdin once, and its log has what the client saw (32)", async () => {
    const shellConfig = { command: ["/bin/sh"], stdin: true, stdinOnce: true };
    const id = await startContainer(daemon, pod, shellConfig);
    const { stdin, stdout, stderr, error } = await attach(id, { stdin: true, ...outputs });
    await stdin.write("echo -n hello; echo oops >&2\n");
    await eventually("both outputs came", 20_000, () => (stderr.text === "oops\n" ? true : undefined));
    expect(stdout.text).to.equal("hello");
    await stdin.end();
    await error.ending();
    const { exitCode, logPath } = await exited(daemon, id);
    expect(exitCode).to.equal(0);
    expect((await logLines(logPath)).map(({ stream, text }) => `${stream} ${text}`).sort()).to.deep.equal([
      "stderr oops",
      "stdout hello",
    ]);
    await removeContainer(daemon, id);
  });

  it("attach: gives each of several clients the output from now on, and leaves the container when they go", async () => {
    const line = "echo before; while read word; do echo $word; done";
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", line], stdin: true });
    await saidSomething(daemon, id);
    const [one, two] = await Promise.all([attach(id, { stdin: true, ...outputs }), attach(id, outputs)]);
    await one.stdin.write("word\n");
    await eventually("both have it", 20_000, () =>
      one.stdout.text === "word\n" && two.stdout.text === "word\n" ? true : undefined,
    );
    one.client.destroy();
    two.client.destroy();
    expect((await containerStatus(daemon, id)).finishedAt).to.equal(0n);
    await removeContainer(daemon, id);
  });

  async function forwarded(port: number): Promise<{ data: OpenCommand["stdout"]; error: OpenCommand["error"] }> {
    const { url } = await daemon.cri.call(runtime.portForward, { podSandboxId: pod.id, port: [] });
    const client = await spdyConnect(url, ["portforward.k8s.io"]);
    const headers = { port: String(port), requestid: "0" };
    const error = await client.open({ ...headers, streamtype: "error" });
    await error.end();
    return { error, data: await client.open({ ...headers, streamtype: "data" }) };
  }

  it("port-forward: reaches a server on 127.0.0.1 in the pod, each direction to its own end (33)", async () => {
    const server = "httpd -p 127.0.0.1:4568 -h /etc; exec nc -l -p 4567 -e md5sum";
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", server] });
    await eventually("both listen", 20_000, async () => {
      const ports = await shell(daemon, id, "netstat -ltn");
      return ports.includes("127.0.0.1:4568") && ports.includes(":4567") ? true : undefined;
    });
    const web = await forwarded(4568);
    await web.data.write("GET /passwd HTTP/1.0\r\n\r\n");
    expect(await web.data.ending()).to.match(/^HTTP\/1\.[01] 200 OK[^]*root:x:0:0/);
    const { data, error } = await forwarded(4567);
    for (let count = 0; count < 32; count += 1) await data.write(Buffer.alloc(32 * 1024));
    await data.end();
    expect(await data.ending()).to.equal("b6d81b360a5672d80c27430f39153e2c  -\n");
    expect(await error.ending()).to.equal("");
    await removeContainer(daemon, id);
  });

  it("port-forward: says so when nobody listens", async () => {
    const { data, error } = await forwarded(4599);
    expect(await error.ending()).to.match(/port 4599.*[Cc]onnection refused/);
    await data.ending();
  });

  it("refuses what no client can mean, what is not there and what does not run", async () => {
    const { cri } = daemon;
    const cmd = ["true"];
    const ask = (part: object) => ({ ...nothing, containerId: container, cmd, stdout: true, ...part });
    for (const call of [
      (part: object) => cri.call(runtime.exec, ask(part)),
      (part: object) => cri.call(runtime.attach, ask(part)),
    ]) {
      await failure(call({ tty: true, stderr: true }), grpc.INVALID_ARGUMENT);
      await failure(call({ stdout: false }), grpc.INVALID_ARGUMENT);
      await failure(call({ containerId: "" }), grpc.INVALID_ARGUMENT);
      await failure(call({ containerId: "0".repeat(64) }), grpc.NOT_FOUND);
    }
    await failure(cri.call(runtime.exec, ask({ cmd: [] })), grpc.INVALID_ARGUMENT);
    const created = await createContainer(daemon, pod);
    await failure(cri.call(runtime.exec, ask({ containerId: created })), grpc.FAILED_PRECONDITION);
    await failure(cri.call(runtime.attach, ask({ containerId: created })), grpc.FAILED_PRECONDITION);
    await removeContainer(daemon, created);
    await failure(cri.call(runtime.portForward, { podSandboxId: "", port: [] }), grpc.INVALID_ARGUMENT);
    await failure(cri.call(runtime.portForward, { podSandboxId: "0".repeat(64), port: [] }), grpc.NOT_FOUND);
    await failure(cri.call(runtime.portForward, { podSandboxId: pod.id, port: [70_000] }), grpc.INVALID_ARGUMENT);
  });
});
