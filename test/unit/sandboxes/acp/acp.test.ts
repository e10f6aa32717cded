import { expect } from "chai";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { Lines, lineOf } from "../../../../src/sandboxes/acp/lines.js";
import { sandboxdProtocols } from "../../../../src/sandboxes/sandboxd/sandboxd.js";
import { acpClient, type AcpClient } from "../../../support/agents/acp-client.js";
import { projectDirectory } from "../../../support/project.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { type HttpPort, openHttpPort } from "../../../support/sandboxes/http-port.js";
import { eventually, limit } from "../../../support/wait.js";

const caller = { tenant: "a", name: "token a" };
const prompt = (text: string): object => ({ sessionId: "session-1", prompt: [{ type: "text", text }] });

describe("an agent's output as lines", () => {
  it("has each message whole, wherever pieces begin and end, and says where the next one begins", () => {
    const text = Buffer.from('{"a":"ä"}\n\n {"b":2} \r\n{"c"');
    for (let cut = 0; cut <= text.length; cut += 1) {
      const lines = new Lines(100);
      const found = [...lines.add(text.subarray(0, cut), 5), ...lines.add(text.subarray(cut), 5 + cut)];
      expect(found.map((line) => line.text)).to.deep.equal(['{"a":"ä"}', '{"b":2}']);
      expect(found.map(({ after }) => after)).to.deep.equal([16, 28]);
      expect(lines.beganAt).to.equal(28);
    }
    expect(() => [...new Lines(3).add(Buffer.from("abcd"), 0)]).to.throw("more than 3 bytes");
  });

  it("has a client's message as one line, however it was written", () => {
    expect(lineOf('{\r\n  "a": 1\n}\n')).to.equal('{   "a": 1 }\n');
    expect(lineOf("\n")).to.equal("\n");
  });
});

describe("ACP by WebSocket", function () {
  this.timeout(limit(20_000));
  let core: DoubleSandboxes;
  let port: HttpPort;
  let sandbox: SandboxView;
  const stopping = new AbortController();
  const clients: AcpClient[] = [];

  before(async () => {
    core = await DoubleSandboxes.open();
    const log = createLogger("error", { write: () => undefined });
    port = await openHttpPort(sandboxdProtocols({ sandboxes: core, log, stopping: stopping.signal }).http, caller);
    sandbox = await made(join(projectDirectory, "test/support/agents/fake-agent.sh"));
  });
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.terminate();
  });
  after(async () => {
    await port.close();
    await core.close();
  });

  const made = (agent?: string): Promise<SandboxView> =>
    core.create(caller, {
      template: "t",
      env: {},
      mounts: [],
      metadata: {},
      ...(agent === undefined ? {} : { agent }),
    });

  async function connected(query = "", id: string = sandbox.id): Promise<AcpClient> {
    const client = await acpClient(`${port.url.replace("http", "ws")}/v1/sandboxes/${id}/acp${query}`);
    clients.push(client);
    return client;
  }

  async function ready(): Promise<AcpClient> {
    const client = await connected();
    await client.request("initialize", { protocolVersion: 1, clientCapabilities: {} });
    await client.request("session/new", { cwd: sandbox.workingDir, mcpServers: [] });
    return client;
  }

  const runs = (process: number): boolean =>
    core
      .processes(caller, sandbox.id)
      .list()
      .some(({ exit, id }) => id === process && exit === undefined);
  const gone = (process: number): Promise<boolean> =>
    eventually("the agent's end", 10_000, () => (runs(process) ? undefined : true));

  it("is a whole session: a prompt, updates, a question, and the end of the agent with its client's", async () => {
    const client = await ready();
    expect(await client.request("session/prompt", prompt("hello"))).to.deep.equal({ stopReason: "end_turn" });
    expect(client.text()).to.equal("you said: hello");
    const asked = client.send("session/prompt", prompt("ask"));
    const question = await eventually("a question", 10_000, () =>
      client.messages.find(({ method }) => method === "session/request_permission"),
    );
    client.answer(question["id"], { outcome: { outcome: "selected", optionId: "yes" } });
    expect(await client.result(asked)).to.deep.equal({ stopReason: "end_turn" });
    expect(await readFile(join(sandbox.workingDir, "made-by-an-agent.txt"), "utf8")).to.equal("written\n");
    const waiting = client.send("session/prompt", prompt("wait"));
    client.notify("session/cancel", { sessionId: "session-1" });
    expect(await client.result(waiting)).to.deep.equal({ stopReason: "cancelled" });
    client.socket.close(1000);
    await gone(client.process);
  });

  it("keeps an agent whose client is cut off, and has it taken up at the very message", async () => {
    const first = await ready();
    first.send("session/prompt", prompt("count 40"));
    await eventually("some of it", 10_000, () => (first.text().includes("7 ") ? true : undefined));
    first.socket.terminate();
    await first.closed();
    const second = await connected(`?process=${String(first.process)}&from=${String(first.offset())}`);
    await eventually("the rest", 10_000, () => (second.text().endsWith("40 ") ? true : undefined));
    const counted = `${first.text()}${second.text()}`.trim().split(" ").map(Number);
    expect(counted).to.deep.equal(Array.from({ length: 40 }, (_none, at) => at + 1));
    expect(second.process).to.equal(first.process);
    expect(await second.request("session/prompt", prompt("still there"))).to.deep.equal({ stopReason: "end_turn" });
  });

  it("gives an agent to the newest of its clients", async () => {
    const first = await ready();
    const second = await connected(`?process=${String(first.process)}&from=now`);
    expect((await first.closed())[0]).to.equal(4001);
    expect(await second.request("session/prompt", prompt("mine"))).to.deep.equal({ stopReason: "end_turn" });
    expect(runs(first.process)).to.equal(true);
  });

  it("says how an agent has ended", async () => {
    const client = await ready();
    client.send("session/prompt", prompt("exit"));
    expect(await client.closed()).to.deep.equal([4000, "exit status 3: no model answers"]);
  });

  it("bounds messages, and takes text alone", async () => {
    const large = await ready();
    large.send("session/prompt", prompt("big 9000000"));
    const [code, reason] = await large.closed();
    expect([code, reason]).to.deep.equal([4000, "the agent's message has more than 8388608 bytes"]);
    const writer = await ready();
    writer.socket.send("x".repeat(9_000_000));
    expect((await writer.closed())[0]).to.equal(1009);
    const binary = await ready();
    binary.socket.send(Buffer.from("{}"));
    expect((await binary.closed())[0]).to.equal(1003);
  });

  it("refuses what can't be, in words", async () => {
    const none = await made();
    const mute = await made("mute");
    const cases = [
      ["", none.id, /^Error: 409 the sandbox was made without a coding agent/],
      ["", mute.id, /^Error: 409 agent mute speaks no ACP \(command in \[agents\.mute\]/],
      ["", "0".repeat(20), /^Error: 404 /],
      ["?process=99", sandbox.id, /^Error: 404 no process 99/],
      ["?process=x", sandbox.id, /^Error: 400 process is no number/],
      ["?process=1&from=-1", sandbox.id, /^Error: 400 from is no number/],
    ] as const;
    for (const [query, id, wanted] of cases) {
      const failed = await connected(query, id).then(String, String);
      expect(failed).to.match(wanted);
    }
    const plain = await fetch(`${port.url}/v1/sandboxes/${sandbox.id}/acp`);
    expect([plain.status, await plain.text()]).to.deep.equal([
      400,
      '{"code":"INVALID_ARGUMENT","message":"this is for a WebSocket (Upgrade: websocket)"}\n',
    ]);
    const { id } = await core.processes(caller, sandbox.id).start(
      {
        ...{ args: ["sleep", "60"], env: {}, workingDir: "", user: "", stdin: false, tag: "mine", limitMs: 0 },
      },
      neverAborted,
    );
    expect(await connected(`?process=${String(id)}`).then(String, String)).to.match(/404 process \d+ is no agent/);
  });

  it("has no more than eight agents in a sandbox", async () => {
    const other = await made(join(projectDirectory, "test/support/agents/fake-agent.sh"));
    for (let at = 0; at < 8; at += 1) await connected("", other.id);
    const failed = await connected("", other.id).then(String, String);
    expect(failed).to.match(/429 8 agents run in the sandbox already \(end one, or take one up/);
    const crowded = await made(join(projectDirectory, "test/support/agents/fake-agent.sh"));
    const all = await Promise.allSettled(Array.from({ length: 12 }, () => connected("", crowded.id)));
    expect(all.filter(({ status }) => status === "fulfilled")).to.have.lengthOf(8);
  });

  it("tells its clients that the daemon stops, and leaves the agents", async () => {
    const client = await ready();
    stopping.abort();
    expect((await client.closed())[0]).to.equal(1012);
    expect(runs(client.process)).to.equal(true);
  });
});
