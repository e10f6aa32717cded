import { ChannelCredentials, type ClientReadableStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import {
  type ExecuteRequest,
  type ExecuteResponse,
  ProcessServiceClient,
  type StartRequest,
  type StartResponse,
} from "../../../../src/gen/process/v1/process.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { processV1 } from "../../../../src/sandboxes/sandboxd/grpc/process-v1.js";
import { allOf, called, nextOf, statusOf } from "../../../support/sandboxes/calls.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { type GrpcPort, metadataOf, openGrpcPort } from "../../../support/sandboxes/grpc-port.js";
import { eventually } from "../../../support/wait.js";

const caller = { tenant: "a", name: "token a" };
const nothing = { template: "t", env: { LANG: "C" }, mounts: [], metadata: {} };

describe("process.v1", () => {
  let core: DoubleSandboxes;
  let port: GrpcPort;
  let client: ProcessServiceClient;
  let sandbox: SandboxView;

  before(async () => {
    core = await DoubleSandboxes.open();
    const never = new AbortController().signal;
    const log = createLogger("error", { write: () => undefined });
    port = await openGrpcPort([processV1({ sandboxes: core, log, stopping: never })]);
    client = new ProcessServiceClient(port.address, ChannelCredentials.createInsecure());
    sandbox = await core.create(caller, nothing);
  });

  after(async () => {
    client.close();
    port.close();
    await core.close();
  });

  const left = (): number[] =>
    core
      .processes(caller, sandbox.id)
      .list()
      .map(({ id }) => id);
  const execute = (request: ExecuteRequest, metadata = metadataOf("a")): Promise<ExecuteResponse> =>
    called(client, client.execute.bind(client), request, metadata);
  const shell = (script: string, cwd?: string): ExecuteRequest => ({
    config: { command: ["/bin/sh", "-c", script], envVars: { NAME: "value" }, ...(cwd === undefined ? {} : { cwd }) },
  });
  const start = (request: StartRequest): ClientReadableStream<StartResponse> => client.start(request, metadataOf("a"));
  const shellStart = (script: string, pty?: { cols: number; rows: number }): ClientReadableStream<StartResponse> =>
    start({ ...shell(script), pty });

  it("runs a program to its end and answers with all it has written", async () => {
    const { exitCode, stdout, stderr } = await execute(shell("echo out; echo err >&2; echo $NAME $LANG; exit 3"));
    expect([exitCode, String(stdout), String(stderr)]).to.deep.equal([3, "out\nvalue C\n", "err\n"]);
    expect(left(), "what is kept").to.deep.equal([]);
  });

  it("tells a death by a signal as -1", async () => {
    expect((await execute(shell("kill -9 $$"))).exitCode).to.equal(-1);
  });

  it("streams: init first, output as it comes, exit last", async () => {
    const events = await allOf(shellStart("echo out; sleep 0.05; echo err >&2; exit 7"));
    expect(
      events.map(
        (event) => Object.keys(event).filter((name) => name in event && Reflect.get(event, name) !== undefined)[0],
      ),
    ).to.deep.equal(["init", "stdout", "stderr", "exit"]);
    expect(events.at(0)?.init?.processId).to.be.above(0);
    expect(events.at(-1)?.exit?.exitCode).to.equal(7);
  });

  it("writes to a program and ends its input", async () => {
    const stream = shellStart("cat");
    const processId = (await nextOf(stream)).init?.processId ?? 0;
    const write = client.writeStdin.bind(client);
    await called(client, write, { processId, input: Buffer.from("hello") }, metadataOf("a"));
    await called(client, write, { processId, eof: {} }, metadataOf("a"));
    const rest = await allOf(stream);
    expect(rest.map(({ stdout, exit }) => (stdout === undefined ? exit?.exitCode : String(stdout)))).to.deep.equal([
      "hello",
      0,
    ]);
    expect(await statusOf(called(client, write, { processId, eof: {} }, metadataOf("a")))).to.equal("NOT_FOUND");
  });

  it("kills a program whose stream is lost, and forgets it", async () => {
    const stream = shellStart("exec sleep 100");
    expect((await nextOf(stream)).init?.processId).to.equal(left()[0]);
    stream.on("error", () => undefined);
    stream.cancel();
    await eventually("the end of the program", 1500, () => left().length === 0 || undefined);
  });

  it("gives a program no longer than its call has", async () => {
    const deadline = Date.now() + 150;
    const call = new Promise((resolve, reject) => {
      client.execute(shell("exec sleep 100"), metadataOf("a"), { deadline }, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
    expect(await statusOf(call)).to.equal("DEADLINE_EXCEEDED");
    await eventually("the end of the program", 1500, () => left().length === 0 || undefined);
  });

  it("refuses what its table says, with the table's status", async () => {
    const command = (...args: string[]): ExecuteRequest => ({ config: { command: args, envVars: {} } });
    expect(await statusOf(execute(command())), "no command").to.equal("INVALID_ARGUMENT");
    expect(await statusOf(execute({ config: undefined })), "no config").to.equal("INVALID_ARGUMENT");
    expect(await statusOf(execute(command("/no/such/program"))), "no program").to.equal("NOT_FOUND");
    expect(await statusOf(execute(shell("true", "no/such"))), "no directory").to.equal("NOT_FOUND");
    const one = { processId: 4711 };
    const of = metadataOf("a");
    const signal = (value: 0 | 2 | 9 | 15, id = one): Promise<unknown> =>
      called(client, client.sendSignal.bind(client), { ...id, signal: value }, of);
    expect(await statusOf(signal(9)), "no process").to.equal("NOT_FOUND");
    expect(await statusOf(signal(0)), "no signal").to.equal("INVALID_ARGUMENT");
    const stream = shellStart("exec sleep 100");
    const processId = (await nextOf(stream)).init?.processId ?? 0;
    const resize = client.resizeTty.bind(client);
    expect(await statusOf(called(client, resize, { processId, cols: 80, rows: 24 }, of)), "no terminal").to.equal(
      "FAILED_PRECONDITION",
    );
    expect(await statusOf(called(client, client.writeStdin.bind(client), { processId }, of)), "no payload").to.equal(
      "INVALID_ARGUMENT",
    );
    await signal(15, { processId });
    expect((await allOf(stream)).at(-1)?.exit?.exitCode).to.equal(-1);
  });

  it("runs a program in a directory below the root, where its links say", async () => {
    const root = sandbox.workingDir;
    await mkdir(join(root, "sub/deep"), { recursive: true });
    await symlink("sub/deep", join(root, "link"));
    expect(String((await execute(shell("pwd -P", "sub"))).stdout)).to.equal(`${root}/sub\n`);
    expect(String((await execute(shell("pwd -P", "link"))).stdout)).to.equal(
      `${root}/link\n`.replace("link", "sub/deep"),
    );
  });

  it("refuses more output than an answer holds, and kills the program", async () => {
    expect(await statusOf(execute(shell("yes | head -c 40000000")))).to.equal("RESOURCE_EXHAUSTED");
    expect(left()).to.deep.equal([]);
  });

  it("knows no sandbox of another tenant, and asks which where there are several", async () => {
    expect(await statusOf(execute(shell("true"), metadataOf("b")))).to.equal("NOT_FOUND");
    expect(await statusOf(execute(shell("true"), metadataOf("b", sandbox.id)))).to.equal("NOT_FOUND");
    const second = await core.create(caller, nothing);
    expect(await statusOf(execute(shell("true")))).to.equal("INVALID_ARGUMENT");
    expect(await statusOf(execute(shell("true"), metadataOf("a", second.id)))).to.equal("OK");
    await core.end(caller, second.id);
  });
});
