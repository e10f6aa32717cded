import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { ChannelCredentials, type Client, type ClientReadableStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { digest } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import {
  FileServiceClient,
  type ListFilesRequest,
  type ListFilesResponse,
  type StatFileRequest,
  type StatFileResponse,
  type WriteFileRequest,
} from "../../../../src/gen/sandboxes/v1/files.js";
import { PortServiceClient, type ForwardPortResponse } from "../../../../src/gen/sandboxes/v1/ports.js";
import {
  type ConnectProcessResponse,
  ProcessServiceClient,
  type StartProcessRequest,
  type StartProcessResponse,
} from "../../../../src/gen/sandboxes/v1/processes.js";
import {
  type CreateSandboxRequest,
  type CreateSandboxResponse,
  type ListSandboxesRequest,
  type ListSandboxesResponse,
  SandboxServiceClient,
  SandboxState,
} from "../../../../src/gen/sandboxes/v1/sandboxes.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { sandboxdProtocols } from "../../../../src/sandboxes/sandboxd/sandboxd.js";
import { allOf, called, statusOf } from "../../../support/sandboxes/calls.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { type GrpcPort, metadataOf, openGrpcPort } from "../../../support/sandboxes/grpc-port.js";

const of = metadataOf("a");
/** Instead of minutes. */
const idleMs = 400;

describe("sandboxes.v1", () => {
  let core: DoubleSandboxes;
  let port: GrpcPort;
  let sandbox: SandboxView;
  let sandboxes: SandboxServiceClient;
  let processes: ProcessServiceClient;
  let files: FileServiceClient;
  let ports: PortServiceClient;
  const clients: Client[] = [];

  before(async () => {
    core = await DoubleSandboxes.open();
    const log = createLogger("error", { write: () => undefined });
    const never = new AbortController().signal;
    port = await openGrpcPort(sandboxdProtocols({ sandboxes: core, log, stopping: never, senderIdleMs: idleMs }).grpc);
    const credentials = ChannelCredentials.createInsecure();
    sandboxes = new SandboxServiceClient(port.address, credentials);
    processes = new ProcessServiceClient(port.address, credentials);
    files = new FileServiceClient(port.address, credentials);
    ports = new PortServiceClient(port.address, credentials);
    clients.push(sandboxes, processes, files, ports);
    sandbox = await core.create({ tenant: "a", name: "a" }, { template: "t", env: {}, mounts: [], metadata: {} });
  });

  after(async () => {
    for (const client of clients) client.close();
    port.close();
    await core.close();
  });

  const wanted = (more: Partial<CreateSandboxRequest> = {}): CreateSandboxRequest => ({
    ...{ template: "base", env: {}, mounts: [], metadata: { a: "b" }, network: 0, atEnd: 0 },
    ...more,
  });
  const create = (more: Partial<CreateSandboxRequest> = {}): Promise<CreateSandboxResponse> =>
    called(sandboxes, sandboxes.createSandbox.bind(sandboxes), wanted(more), of);
  const shell = (script: string, more: Partial<StartProcessRequest> = {}): StartProcessRequest => ({
    ...{ sandboxId: sandbox.id, args: ["sh", "-c", script], env: {}, workingDir: "", user: "", terminal: undefined },
    ...{ stdin: false, tag: "", limitMs: 0n, startId: "" },
    ...more,
  });
  const start = (request: StartProcessRequest): Promise<StartProcessResponse> =>
    called(processes, processes.startProcess.bind(processes), request, of);

  it("tells of a pull as it goes, and of the sandbox at last", async () => {
    const puller = metadataOf("b");
    const blob = digest(`sha256:${"a".repeat(64)}`);
    core.pull = (watch) => {
      watch.planned([{ digest: blob, sizeBytes: 1000 }]);
      watch.received(blob, 600);
      watch.received(blob, 400);
    };
    try {
      const events = await allOf(sandboxes.createSandboxWatched({ create: wanted() }, puller));
      expect(events.map(({ pull }) => pull)).to.deep.equal([
        { layers: [{ digest: blob, sizeBytes: 1000n, receivedBytes: 1000n }] },
        undefined,
      ]);
      expect(events.at(-1)?.sandbox).to.include({ template: "base", tenant: "b" });
      core.pull = undefined;
      expect(await allOf(sandboxes.createSandboxWatched({ create: wanted() }, puller))).to.have.length(1);
      const nothing = allOf(sandboxes.createSandboxWatched({ create: undefined }, puller));
      expect(await statusOf(nothing)).to.equal("INVALID_ARGUMENT");
      const unknown = allOf(sandboxes.createSandboxWatched({ create: wanted({ template: "no-such" }) }, puller));
      expect(await statusOf(unknown)).to.equal("NOT_FOUND");
    } finally {
      core.pull = undefined;
    }
  });

  it("creates, shows, pages through and ends sandboxes", async () => {
    const { sandbox: made } = await create({ lifeMs: 5000n });
    expect(made).to.include({ template: "base", tenant: "a", state: SandboxState.RUNNING });
    expect((made?.endsAt?.getTime() ?? 0) - Date.now()).to.be.within(1000, 5000);
    const page = (more: Partial<ListSandboxesRequest>): Promise<ListSandboxesResponse> => {
      const all = { metadata: {}, states: [], template: "", startedAfter: undefined, pageSize: 0, pageToken: "" };
      return called(sandboxes, sandboxes.listSandboxes.bind(sandboxes), { ...all, ...more }, of);
    };
    const first = await page({ pageSize: 1 });
    expect(first.sandboxes.map(({ id }) => id)).to.deep.equal([made?.id]);
    const second = await page({ pageSize: 1, pageToken: first.nextPageToken });
    expect(second.sandboxes.map(({ id }) => id)).to.deep.equal([sandbox.id]);
    expect(second.nextPageToken).to.equal("");
    expect((await page({ metadata: { a: "b" } })).sandboxes).to.have.length(1);
    expect((await page({ states: [SandboxState.PAUSED] })).sandboxes).to.deep.equal([]);
    const about = { sandboxId: made?.id ?? "" };
    const get = sandboxes.getSandbox.bind(sandboxes);
    expect(await statusOf(called(sandboxes, get, about, metadataOf("b"))), "another tenant").to.equal("NOT_FOUND");
    expect(await statusOf(called(sandboxes, get, { sandboxId: "" }, of)), "which?").to.equal("INVALID_ARGUMENT");
    await called(sandboxes, sandboxes.pauseSandbox.bind(sandboxes), about, of);
    expect((await page({ states: [SandboxState.PAUSED] })).sandboxes.map(({ id }) => id)).to.deep.equal([made?.id]);
    await called(sandboxes, sandboxes.resumeSandbox.bind(sandboxes), about, of);
    expect((await page({ states: [SandboxState.PAUSED] })).sandboxes).to.deep.equal([]);
    await called(sandboxes, sandboxes.endSandbox.bind(sandboxes), about, of);
    expect(await statusOf(called(sandboxes, get, about, of)), "ended").to.equal("NOT_FOUND");
  });

  it("refuses what is not a sandbox", async () => {
    expect(await statusOf(create({ template: "" }))).to.equal("INVALID_ARGUMENT");
    expect(await statusOf(create({ template: "no-such" }))).to.equal("NOT_FOUND");
    expect(await statusOf(create({ lifeMs: 2n ** 63n }))).to.equal("INVALID_ARGUMENT");
  });

  it("tells a process's output from where it is asked for, each piece with its offset", async () => {
    const { process } = await start(shell("printf 12345; exit 2", { tag: "one" }));
    const seen = async (stream: ClientReadableStream<ConnectProcessResponse>): Promise<unknown[]> =>
      (await allOf(stream)).map(({ event }) => {
        if (event?.process !== undefined) return event.process.id;
        if (event?.output !== undefined) return [event.output.offset, String(event.output.data)];
        return event?.exit?.code;
      });
    const about = { sandboxId: sandbox.id, process: { tag: "one" } };
    expect(await seen(processes.connectProcess({ ...about }, of))).to.deep.equal([process?.id, [0n, "12345"], 2]);
    expect(await seen(processes.connectProcess({ ...about, offset: 5n }, of))).to.deep.equal([process?.id, 2]);
    const run = processes.runProcess({ start: shell("head -c 200000 /dev/zero") }, of);
    const pieces = (await allOf(run)).flatMap(({ event }) => event?.output ?? []);
    expect(Math.max(...pieces.map(({ data }) => data.length))).to.be.at.most(64 * 1024);
    expect(pieces.reduce((at, { offset, data }) => (Number(offset) === at ? at + data.length : -1), 0)).to.equal(
      200_000,
    );
  });

  it("refuses what is no process, signal or size", async () => {
    const refused = async (call: Promise<unknown>): Promise<string> => await statusOf(call);
    expect(await refused(start({ ...shell(""), args: [] }))).to.equal("INVALID_ARGUMENT");
    expect(await refused(start(shell("", { terminal: { columns: 0, rows: 24 } })))).to.equal("INVALID_ARGUMENT");
    const about = { sandboxId: sandbox.id, process: undefined };
    const signal = processes.signalProcess.bind(processes);
    expect(await refused(called(processes, signal, { ...about, signal: 9, all: false }, of))).to.equal(
      "INVALID_ARGUMENT",
    );
    const nobody = { sandboxId: sandbox.id, process: { id: 4711 } };
    expect(await refused(called(processes, signal, { ...nobody, signal: 9, all: false }, of))).to.equal("NOT_FOUND");
    expect(await refused(called(processes, signal, { ...nobody, signal: 65, all: false }, of))).to.equal(
      "INVALID_ARGUMENT",
    );
  });

  const write = (messages: readonly WriteFileRequest[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const call = files.writeFile(of, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
      for (const message of messages) call.write(message);
      call.end();
    });

  it("takes a file with its end, and none without", async () => {
    const open = { sandboxId: sandbox.id, path: "f", user: "", parents: true };
    const stat = { sandboxId: sandbox.id, path: "f", user: "", follow: true };
    const there = (): Promise<string> => statusOf(called(files, files.statFile.bind(files), stat, of));
    const data = Buffer.from("half");
    expect(await statusOf(write([{ open }, { data }])), "no end").to.equal("CANCELLED");
    expect(await statusOf(write([{ data }])), "no open").to.equal("INVALID_ARGUMENT");
    expect(await statusOf(write([{ open }, {}])), "nothing").to.equal("INVALID_ARGUMENT");
    expect(await statusOf(write([{ open: { ...open, mode: 0o10000 } }, { end: {} }])), "mode").to.equal(
      "INVALID_ARGUMENT",
    );
    expect(await there()).to.equal("NOT_FOUND");
    await write([{ open }, { data }, { data }, { end: {} }]);
    const parts = await allOf(
      files.readFile({ sandboxId: sandbox.id, path: "f", user: "", offset: 2n, length: 4n }, of),
    );
    expect(parts[0]?.entry?.sizeBytes).to.equal(8n);
    expect(Buffer.concat(parts.flatMap((part) => part.data ?? [])).toString()).to.equal("lfha");
  });

  it("gives up an upload of which nothing comes any more, and nothing of the file is there", async () => {
    const open = { sandboxId: sandbox.id, path: "stalled", user: "", parents: true };
    const stat = { sandboxId: sandbox.id, path: "stalled", user: "", follow: true };
    const stalled = (messages: readonly WriteFileRequest[]): Promise<string> =>
      new Promise((resolve) => {
        const call = files.writeFile(of, (error) => {
          resolve(String(error));
        });
        for (const message of messages) call.write(message);
      });
    const told = new RegExp(`DEADLINE_EXCEEDED: .*WriteFile.* sent nothing for ${String(idleMs)} ms`);
    expect(await stalled([]), "no first message").to.match(told);
    expect(await stalled([{ open }, { data: Buffer.from("half") }])).to.match(told);
    expect(await statusOf(called(files, files.statFile.bind(files), stat, of))).to.equal("NOT_FOUND");
    const listed = { sandboxId: sandbox.id, path: ".", user: "", depth: 1, limit: 0 };
    const { entries } = await called<ListFilesRequest, ListFilesResponse>(
      files,
      files.listFiles.bind(files),
      listed,
      of,
    );
    expect(entries.map(({ name }) => name).filter((name) => name.includes("stalled"))).to.deep.equal([]);
  });

  it("takes an upload that is slow for as long as something comes", async () => {
    const open = { sandboxId: sandbox.id, path: "slow", user: "", parents: true };
    const pieces = 6;
    await new Promise((resolve, reject) => {
      const call = files.writeFile(of, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
      call.write({ open });
      let sent = 0;
      const timer = setInterval(() => {
        if (sent++ < pieces) call.write({ data: Buffer.from("x") });
        else {
          clearInterval(timer);
          call.write({ end: {} });
          call.end();
        }
      }, idleMs / 3);
    });
    const stat = { sandboxId: sandbox.id, path: "slow", user: "", follow: true };
    const { entry } = await called<StatFileRequest, StatFileResponse>(files, files.statFile.bind(files), stat, of);
    expect(entry?.sizeBytes).to.equal(BigInt(pieces));
  });

  it("waits for the first word of a forward in time, and lets one that stands be silent for as long as it likes", async () => {
    const server = createServer((socket) => socket.pipe(socket));
    const number = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
    const silent = await new Promise<string>((resolve) =>
      ports
        .forwardPort(of)
        .resume()
        .on("error", (error) => {
          resolve(String(error));
        }),
    );
    expect(silent).to.match(/DEADLINE_EXCEEDED: .*ForwardPort.* sent nothing/);
    const call = ports.forwardPort(of);
    let said = "";
    const over = new Promise((resolve, reject) => call.on("end", resolve).on("error", reject));
    call.on("data", ({ data }: ForwardPortResponse) => (said += data?.toString() ?? ""));
    call.write({ open: { sandboxId: sandbox.id, port: number } });
    await delay(idleMs * 3);
    call.write({ data: Buffer.from("still here") });
    call.end();
    await over;
    expect(said).to.equal("still here");
    server.close();
  });

  it("says that nobody listens on a port, and that there is no such port", async () => {
    const forward = (number: number): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const call = ports.forwardPort(of);
        call.on("error", reject);
        call.on("end", resolve);
        call.on("data", (_: ForwardPortResponse) => undefined);
        call.write({ open: { sandboxId: sandbox.id, port: number } });
      });
    expect(await statusOf(forward(1))).to.equal("FAILED_PRECONDITION");
    expect(await statusOf(forward(0))).to.equal("INVALID_ARGUMENT");
    expect(await statusOf(forward(70_000))).to.equal("INVALID_ARGUMENT");
  });

  it("tells nobody what nobody foresaw", async () => {
    core.refusal = undefined;
    const list = core.list.bind(core);
    core.list = () => {
      throw new TypeError("/var/lib/secret is not a function");
    };
    try {
      const request = { metadata: {}, states: [], template: "", startedAfter: undefined, pageSize: 0, pageToken: "" };
      const call = called(sandboxes, sandboxes.listSandboxes.bind(sandboxes), request, of);
      const message = await call.then(String, String);
      expect(message).to.contain("INTERNAL").and.not.contain("secret");
    } finally {
      core.list = list;
    }
  });
});
