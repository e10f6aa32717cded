/** Clients that people have, unmodified, on real Boxes: curl, grpcurl, agent-sandbox's Python client, grpc-js. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ChannelCredentials, Metadata } from "@grpc/grpc-js";
import { expect } from "chai";
import { ProcessServiceClient as ProcessV1 } from "../../src/gen/process/v1/process.js";
import { FileServiceClient } from "../../src/gen/sandboxes/v1/files.js";
import { PortServiceClient, type ForwardPortResponse } from "../../src/gen/sandboxes/v1/ports.js";
import {
  type ListProcessesRequest,
  type ListProcessesResponse,
  ProcessServiceClient,
  type StartProcessRequest,
  type StartProcessResponse,
} from "../../src/gen/sandboxes/v1/processes.js";
import {
  type ExtendSandboxRequest,
  type ExtendSandboxResponse,
  type GetSandboxUsageRequest,
  type GetSandboxUsageResponse,
  type ListSandboxesRequest,
  type ListSandboxesResponse,
  SandboxServiceClient,
} from "../../src/gen/sandboxes/v1/sandboxes.js";
import { projectDirectory } from "../support/project.js";
import { allOf, called, nextOf, statusOf } from "../support/sandboxes/calls.js";
import { openSandboxdPort, type SandboxdPort } from "../support/sandboxes/sandboxd-port.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const grpcurl = join(projectDirectory, "build/assets/bin/grpcurl");
const python = join(projectDirectory, "build/assets/python-clients/bin/python");

describe("sandboxd", () => {
  let port: SandboxdPort;
  let id: string;
  let v1: ProcessV1;
  let sandboxes: SandboxServiceClient;
  let processes: ProcessServiceClient;
  let files: FileServiceClient;
  let ports: PortServiceClient;
  const none = new Metadata();

  before(async () => {
    port = await openSandboxdPort();
    const credentials = ChannelCredentials.createInsecure();
    v1 = new ProcessV1(port.address, credentials);
    sandboxes = new SandboxServiceClient(port.address, credentials);
    processes = new ProcessServiceClient(port.address, credentials);
    files = new FileServiceClient(port.address, credentials);
    ports = new PortServiceClient(port.address, credentials);
    const created = await curl("POST", "/v1/sandboxes", {
      template: "base",
      life_ms: 600_000,
      metadata: { by: "curl" },
    });
    expect(created.status, created.body).to.equal(201);
    id = textOf(JSON.parse(created.body), "id");
  });

  after(async () => {
    for (const client of [v1, sandboxes, processes, files, ports]) client.close();
    await port.close();
  });

  async function curl(
    method: string,
    path: string,
    json?: unknown,
    ...more: string[]
  ): Promise<{ status: number; body: string }> {
    const data = json === undefined ? [] : ["--data", JSON.stringify(json)];
    const args = [
      "-sS",
      "--path-as-is",
      "-X",
      method,
      "-w",
      "\n%{http_code}",
      ...data,
      ...more,
      `http://${port.address}${path}`,
    ];
    const { stdout, stderr } = await ran("curl", args);
    const at = stdout.lastIndexOf("\n");
    if (at < 0) throw new Error(stderr);
    return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
  }

  const shell = (script: string, more: Partial<StartProcessRequest> = {}): StartProcessRequest => ({
    ...{ sandboxId: id, args: ["/bin/sh", "-c", script], env: {}, workingDir: "", user: "", terminal: undefined },
    ...{ stdin: false, tag: "", limitMs: 0n, startId: "" },
    ...more,
  });

  it("is used with curl: run, files, links and '..' that lead out", async () => {
    const run = await curl("POST", `/v1/sandboxes/${id}/run`, { command: "pwd; cat; exit 4", stdin: "in" });
    expect(JSON.parse(run.body)).to.deep.include({ exit_code: 4, stdout: "/workspace\nin", stderr: "", signal: 0 });
    expect((await curl("PUT", "/v1/files/a%2Fb.txt?mode=0600", undefined, "--data-binary", "hello")).status).to.equal(
      204,
    );
    expect((await curl("GET", "/v1/files/a/b.txt")).body).to.equal("hello");
    expect((await curl("GET", "/v1/files/a/b.txt", undefined, "-H", "range: bytes=1-3")).body).to.equal("ell");
    await curl("POST", `/v1/sandboxes/${id}/run`, {
      command: "ln -s /etc a/out; ln -s /etc/passwd a/pw; ln -s b.txt a/in",
    });
    const listed: unknown = JSON.parse((await curl("GET", "/v1/files/a")).body);
    expect(listed).to.have.property("path", "/a");
    expect(namesIn(listed)).to.deep.equal(["b.txt", "in"]);
    for (const path of ["../etc/passwd", "..%2Fetc%2Fpasswd", "a/pw", "a/out/passwd"]) {
      expect((await curl("GET", `/v1/files/${path}`)).status, path).to.equal(403);
      expect((await curl("PUT", `/v1/files/${path}`, undefined, "--data-binary", "x")).status, path).to.equal(403);
      expect((await curl("DELETE", `/v1/files/${path}`)).status, `${path} removed`).to.be.oneOf(
        path === "a/pw" ? [204] : [403],
      );
    }
    expect((await curl("DELETE", "/v1/files/a")).status).to.equal(409);
    expect((await curl("DELETE", "/v1/files/a?recursive=true")).status).to.equal(204);
    expect((await curl("GET", "/v1/files/a/b.txt")).status).to.equal(404);
    expect((await curl("GET", "/v1/files/%ff")).status).to.equal(400);
  });

  it("is used with grpcurl, which learns of it by reflection", async function () {
    if (!existsSync(grpcurl)) skipBecause(this, "no grpcurl: the set-up needs Go for it");
    const services = await ran(grpcurl, ["-plaintext", port.address, "list"]);
    expect(services.stdout.split("\n")).to.include.members([
      "process.v1.ProcessService",
      "sandboxes.v1.SandboxService",
    ]);
    const config = { config: { command: ["sh", "-c", "printf hello"] } };
    const call = ["-plaintext", "-d", JSON.stringify(config), port.address, "process.v1.ProcessService/Start"];
    const { stdout } = await ran(grpcurl, call);
    expect(stdout.replace(/\s/g, "")).to.match(
      /^\{"init":\{"processId":\d+\}\}\{"stdout":"aGVsbG8="\}\{"exit":\{\}\}$/,
    );
    const refused = await ran(grpcurl, [
      "-plaintext",
      "-d",
      '{"sandbox_id":"nobody"}',
      port.address,
      "sandboxes.v1.SandboxService/GetSandbox",
    ]);
    expect(refused.stderr).to.contain("NotFound");
  });

  it("carries agent-sandbox's client: commands, files, deadlines, what leads out", async function () {
    if (!existsSync(python)) skipBecause(this, "no python-clients: run the set-up");
    const script = join(projectDirectory, "test/sandboxes/k8s_agent_sandbox_client.py");
    const [rest = "", grpc = ""] = [port.address, port.second].map((address) => address.split(":")[1]);
    const { stdout, stderr } = await ran(python, [script, rest, grpc, id], { PYTHONDONTWRITEBYTECODE: "1" });
    const line = stdout.trim().split("\n").at(-1) ?? "";
    expect(line, stderr).to.match(/^\{/);
    expect(JSON.parse(line)).to.deep.equal({
      run: ["out\n/workspace\n", "err\n", 3],
      env: "value\n",
      late: [true, 124],
      read: "hello",
      read_to: 300_000,
      list: [["a b.txt", "file", 5, "0644"]],
      exists: [true, false],
      deleted: false,
      cwd: "/workspace/dir\n",
      escape: true,
      escape_file: 403,
    });
  });

  it("answers with process.v1's statuses what the kernel refuses", async () => {
    const execute = async (...command: string[]): Promise<string> =>
      await statusOf(called(v1, v1.execute.bind(v1), { config: { command, envVars: {} } }, none));
    expect(await execute("/no/such")).to.equal("NOT_FOUND");
    expect(await execute("no-such-in-path")).to.equal("NOT_FOUND");
    expect(await execute("/etc/passwd")).to.equal("PERMISSION_DENIED");
    expect(await execute("/bin/true")).to.equal("OK");
  });

  it("kills all that a lost stream has started", async () => {
    const stream = v1.start({ config: { command: ["sh", "-c", "sleep 601 & sleep 602"], envVars: {} } }, none);
    await nextOf(stream);
    stream.on("error", () => undefined);
    const sleepers = async (): Promise<number> => {
      const found = await curl("POST", `/v1/sandboxes/${id}/run`, {
        command: "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 60[12]' | wc -l",
      });
      return Number(textOf(JSON.parse(found.body), "stdout"));
    };
    await eventually("both sleep", limit(20_000), async () => ((await sleepers()) === 2 ? true : undefined));
    stream.cancel();
    await eventually("none sleeps", limit(20_000), async () => ((await sleepers()) === 0 ? true : undefined));
  });

  it("keeps a detached process and its output for whoever connects later", async () => {
    const start = shell("read line; echo got $line; exit 6", { stdin: true, tag: "mine" });
    const { process } = await called<StartProcessRequest, StartProcessResponse>(
      processes,
      processes.startProcess.bind(processes),
      start,
      none,
    );
    const about = { sandboxId: id, process: { tag: "mine" } };
    await called(processes, processes.sendInput.bind(processes), { ...about, data: Buffer.from("it\n") }, none);
    const seen = async (from: object): Promise<string[]> => {
      const events = await allOf(processes.connectProcess({ ...about, ...from }, none));
      return events.flatMap(({ event }) =>
        event?.output !== undefined
          ? [`${String(event.output.offset)}:${String(event.output.data)}`]
          : event?.exit !== undefined
            ? [`exit ${String(event.exit.code)}`]
            : [],
      );
    };
    expect(await seen({ start: {} })).to.deep.equal(["0:got it\n", "exit 6"]);
    expect(await seen({ offset: 4n })).to.deep.equal(["4:it\n", "exit 6"]);
    await called(
      processes,
      processes.forgetProcess.bind(processes),
      { sandboxId: id, process: { id: process?.id ?? 0 } },
      none,
    );
    expect(await statusOf(called(processes, processes.getProcess.bind(processes), about, none))).to.equal("NOT_FOUND");
  });

  it("writes a file as a whole or not at all, and reads it in a stream", async () => {
    const content = randomBytes(3_000_000);
    const write = (end: boolean): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const call = files.writeFile(none, (error, answer) => {
          if (error === null) resolve(answer);
          else reject(error);
        });
        call.write({ open: { sandboxId: id, path: "big", user: "", parents: true } });
        for (let at = 0; at < content.length; at += 60_000) call.write({ data: content.subarray(at, at + 60_000) });
        if (end) call.write({ end: {} });
        call.end();
      });
    const stat = { sandboxId: id, path: "big", user: "", follow: true };
    expect(await statusOf(write(false)), "without its end").to.equal("CANCELLED");
    expect(await statusOf(called(files, files.statFile.bind(files), stat, none))).to.equal("NOT_FOUND");
    await write(true);
    const parts = await allOf(files.readFile({ sandboxId: id, path: "big", user: "", offset: 0n }, none));
    const read = Buffer.concat(parts.flatMap(({ data }) => data ?? []));
    expect(parts[0]?.entry?.sizeBytes).to.equal(BigInt(content.length));
    expect(digest(read)).to.equal(digest(content));
  });

  it("leaves nothing of an upload that is cut", async () => {
    const [host = "", number = ""] = port.address.split(":");
    const socket = connect(Number(number), host);
    socket.write(
      `PUT /v1/files/cut HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n${"x".repeat(100_000)}`,
    );
    await eventually("it has begun", limit(20_000), async () => (await allFiles()).includes("cut") || undefined);
    socket.destroy();
    await eventually("nothing is left", limit(20_000), async () =>
      (await allFiles()).includes("cut") ? undefined : true,
    );
  });

  async function allFiles(): Promise<string> {
    const { body } = await curl("POST", `/v1/sandboxes/${id}/run`, {
      command: "ls -a /workspace; ls -a /workspace | grep -i -E 'part|tmp|a3s' && echo cut; true",
    });
    return textOf(JSON.parse(body), "stdout");
  }

  it("forwards a port in both directions, and says where nobody listens", async () => {
    const start = shell("nc -l -p 7070 -e /bin/cat", { tag: "nc" });
    await called(processes, processes.startProcess.bind(processes), start, none);
    const talk = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const call = ports.forwardPort(none);
        let text = "";
        call.on("data", ({ data, connected }: ForwardPortResponse) => {
          if (data !== undefined) text += String(data);
          if (connected === undefined) return;
          call.write({ data: Buffer.from("echo") });
          call.end();
        });
        call.on("error", reject);
        call.on("end", () => {
          resolve(text);
        });
        call.write({ open: { sandboxId: id, port: 7070 } });
      });
    expect(await eventually("the port", limit(20_000), talk)).to.equal("echo");
    const closed = new Promise((resolve, reject) => {
      const call = ports
        .forwardPort(none)
        .on("error", reject)
        .on("end", resolve)
        .on("data", () => undefined);
      call.write({ open: { sandboxId: id, port: 7071 } });
    });
    expect(await statusOf(closed)).to.equal("FAILED_PRECONDITION");
  });

  it("is not slowed, nor filled, by a client that reads nothing", async () => {
    const stream = processes.runProcess({ start: shell("yes | head -c 30000000") }, none);
    await nextOf(stream); // and no more
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 5; round += 1) {
      const { status, body } = await curl("POST", `/v1/sandboxes/${id}/run`, { args: ["echo", String(round)] });
      expect([status, textOf(JSON.parse(body), "stdout")]).to.deep.equal([200, `${String(round)}\n`]);
    }
    expect((process.memoryUsage().rss - before) / 1024 / 1024, "MiB more").to.be.below(100);
    stream.on("error", () => undefined);
    stream.cancel();
  });

  it("refuses a process too many, and starts others when there is room", async () => {
    const start = (): Promise<unknown> =>
      called(processes, processes.startProcess.bind(processes), shell("sleep 600"), none);
    const statuses = new Set<string>();
    for (let more = 0; more < 30 && !statuses.has("RESOURCE_EXHAUSTED"); more += 1) {
      for (const status of await Promise.all(Array.from({ length: 20 }, () => statusOf(start())))) statuses.add(status);
    }
    expect([...statuses].sort()).to.deep.equal(["OK", "RESOURCE_EXHAUSTED"]);
    const { processes: all } = await called<ListProcessesRequest, ListProcessesResponse>(
      processes,
      processes.listProcesses.bind(processes),
      { sandboxId: id },
      none,
    );
    await Promise.all(
      all.map((one) =>
        called(processes, processes.forgetProcess.bind(processes), { sandboxId: id, process: { id: one.id } }, none),
      ),
    );
    expect(await statusOf(start())).to.equal("OK");
  });

  it("lists, extends and ends sandboxes", async () => {
    const filter = {
      metadata: { by: "curl" },
      states: [],
      template: "",
      startedAfter: undefined,
      pageSize: 0,
      pageToken: "",
    };
    const { sandboxes: found } = await called<ListSandboxesRequest, ListSandboxesResponse>(
      sandboxes,
      sandboxes.listSandboxes.bind(sandboxes),
      filter,
      none,
    );
    expect(found.map((one) => one.id)).to.deep.equal([id]);
    const extend = { sandboxId: id, lifeMs: 700_000n, onlyLater: true };
    const { sandbox } = await called<ExtendSandboxRequest, ExtendSandboxResponse>(
      sandboxes,
      sandboxes.extendSandbox.bind(sandboxes),
      extend,
      none,
    );
    expect((sandbox?.endsAt?.getTime() ?? 0) - Date.now()).to.be.within(600_000, 701_000);
    const usage = await called<GetSandboxUsageRequest, GetSandboxUsageResponse>(
      sandboxes,
      sandboxes.getSandboxUsage.bind(sandboxes),
      { sandboxId: "" },
      none,
    );
    expect(Number(usage.memoryTotalBytes)).to.be.above(100 * 1024 * 1024);
    expect((await curl("DELETE", `/v1/sandboxes/${id}`)).status).to.equal(204);
    expect((await curl("GET", `/v1/sandboxes/${id}`)).status).to.equal(404);
  });
});

function digest(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function textOf(value: unknown, name: string): string {
  const member: unknown = value instanceof Object ? Reflect.get(value, name) : undefined;
  if (typeof member !== "string") throw new Error(`no ${name} in ${JSON.stringify(value)}`);
  return member;
}

function namesIn(listing: unknown): string[] {
  const entries: unknown = listing instanceof Object ? Reflect.get(listing, "entries") : undefined;
  return Array.isArray(entries) ? entries.map((entry: unknown) => textOf(entry, "name")) : [];
}

async function ran(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, signal: AbortSignal.timeout(limit(100_000)) });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { stdout, stderr };
}
