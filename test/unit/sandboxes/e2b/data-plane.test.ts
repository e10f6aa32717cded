import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { connect, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { expect } from "chai";
import { WebSocket, WebSocketServer } from "ws";
import { createLogger } from "../../../../src/base/log.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { trafficToken } from "../../../../src/sandboxes/e2b/access.js";
import { messageFrame } from "../../../../src/sandboxes/e2b/connect/frames.js";
import { e2b, type E2b } from "../../../../src/sandboxes/e2b/e2b.js";
import { signatureOf } from "../../../../src/sandboxes/e2b/files/signature.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { openHttpPort, type HttpPort } from "../../../support/sandboxes/http-port.js";

const caller = { tenant: "team", name: "token team" };

describe("E2B's data plane", () => {
  let sandboxes: DoubleSandboxes;
  let edge: E2b;
  let port: HttpPort;
  let view: SandboxView;

  before(async () => {
    sandboxes = await DoubleSandboxes.open();
    edge = e2b({ sandboxes, log: createLogger("error"), templates: [] });
    port = await openHttpPort(edge.protocols);
  });

  beforeEach(async () => {
    view = await sandboxes.create(caller, { template: "base", env: { A: "b" }, mounts: [], metadata: {} });
  });

  after(async () => {
    edge.close();
    await port.close();
    await sandboxes.close();
  });

  const call = async (path: string, init: RequestInit = {}, of: Record<string, string> = {}): Promise<Response> => {
    const headers = {
      "e2b-sandbox-id": view.id,
      "e2b-sandbox-port": "49983",
      "x-access-token": view.accessToken,
      ...of,
    };
    return await fetch(port.url + path, { ...init, headers: dropEmpty({ ...headers, ...plain(init.headers) }) });
  };
  const unary = async (path: string, message: unknown, of: Record<string, string> = {}): Promise<Response> =>
    await call(path, { method: "POST", body: JSON.stringify(message) }, { "content-type": "application/json", ...of });
  const stream = async (path: string, message: unknown, of: Record<string, string> = {}): Promise<unknown[]> => {
    const body = new Uint8Array(messageFrame(message));
    const response = await call(path, { method: "POST", body }, { "content-type": "application/connect+json", ...of });
    expect(response.status).to.equal(200);
    return framesIn(Buffer.from(await response.arrayBuffer()));
  };
  const start = (cmd: string, more: object = {}): unknown => ({
    process: { cmd: "/bin/bash", args: ["-c", cmd] },
    stdin: false,
    ...more,
  });

  describe("who may", () => {
    const tries: readonly [string, Record<string, string>, number][] = [
      ["with the sandbox's token", {}, 200],
      ["with another token", { "x-access-token": "wrong" }, 401],
      ["with no token", { "x-access-token": "" }, 401],
      ["with the key of the tenant", { "x-access-token": "", "x-api-key": "team" }, 200],
      ["with the key of another tenant: it is not there", { "x-access-token": "", "x-api-key": "other" }, 502],
      ["with a wrong token and the right key", { "x-access-token": "wrong", "x-api-key": "team" }, 401],
      ["of a sandbox that is not there", { "e2b-sandbox-id": "x".repeat(20) }, 502],
    ];
    for (const [what, headers, status] of tries) {
      it(`${what}: ${status}`, async () => {
        expect((await call("/envs", {}, headers)).status).to.equal(status);
        expect((await unary("/process.Process/List", {}, headers)).status).to.equal(status);
      });
    }

    it("reaches files by a link that was signed for that, and nothing else by it", async () => {
      await call("/files?path=a", { method: "POST", body: "1" }, { "content-type": "application/octet-stream" });
      const signature = signatureOf(view.accessToken, { path: "a", operation: "read", user: "" });
      const link = `path=a&signature=${encodeURIComponent(signature)}`;
      const none = { "x-access-token": "" };
      expect(await (await call(`/files?${link}`, {}, none)).text()).to.equal("1");
      expect((await call(`/files?${link}`, { method: "POST", body: "2" }, none)).status).to.equal(401);
      expect((await call(`/files?${link}x`, {}, none)).status).to.equal(401);
      expect((await call(`/envs?${link}`, {}, none)).status).to.equal(401);
    });

    it("reaches a program's port, and not envd, with the token for traffic", async () => {
      const of = { "x-access-token": "", "e2b-traffic-access-token": trafficToken(view) };
      expect((await call("/envs", {}, of)).status).to.equal(401);
      expect((await call("/", {}, { ...of, "e2b-sandbox-port": "1" })).status).to.equal(502);
      const wrong = { ...of, "e2b-traffic-access-token": view.accessToken };
      expect((await call("/", {}, { ...wrong, "e2b-sandbox-port": "1" })).status).to.equal(401);
    });
  });

  it("says in E2B's words that a sandbox is gone, or its port closed, or that it is well", async () => {
    const health = await call("/health", {}, { "x-access-token": "" });
    expect(health.status).to.equal(204);
    const closed = await call("/", {}, { "e2b-sandbox-port": "1" });
    const message = "The sandbox is running but port is not open";
    expect([closed.status, await closed.json()]).to.deep.equal([
      502,
      { sandboxId: view.id, message, port: 1, code: 502 },
    ]);
    await sandboxes.end(caller, view.id);
    for (const path of ["/health", "/files?path=a", "/metrics"]) {
      const gone = await call(path);
      const body = { sandboxId: view.id, message: "The sandbox was not found", code: 502 };
      expect([gone.status, await gone.json()], path).to.deep.equal([502, body]);
    }
  });

  it("goes by the name of the host where no header names a sandbox", async () => {
    const text = await raw(port.port, [
      "GET /envs HTTP/1.1",
      `Host: 49983-${view.id}.box.example`,
      `X-Access-Token: ${view.accessToken}`,
      "Connection: close",
    ]);
    expect(text)
      .to.match(/^HTTP\/1\.1 200 /)
      .and.contain('{"A":"b"}');
  });

  it("leaves agent-sandbox's requests to their protocol", async () => {
    const of = { "e2b-sandbox-id": "", "e2b-sandbox-port": "", "x-sandbox-id": view.id };
    expect((await call("/v1/files/a", {}, of)).status).to.equal(404);
  });

  it("starts a program, streams both outputs and its end, and answers a unary call that fails with its status", async () => {
    const events = await stream("/process.Process/Start", start("echo out; echo err >&2; exit 3"));
    expect(events[0]).to.deep.equal({ flags: 0, event: { start: { pid: 1 } } });
    const end = { exitCode: 3, exited: true, status: "exit status 3", error: "exit status 3" };
    expect(events.slice(-2)).to.deep.equal([{ flags: 0, event: { end } }, { flags: 2 }]);
    expect(textOf(events, "stdout")).to.equal("out\n");
    expect(textOf(events, "stderr")).to.equal("err\n");
    const kill = { process: { pid: 1 }, signal: "SIGNAL_SIGKILL" };
    const answer = await unary("/process.Process/SendSignal", kill);
    expect([answer.status, memberOf(await answer.json(), "code")]).to.deep.equal([404, "not_found"]);
  });

  it("ends a stream with what is wrong with its request, in its last frame", async () => {
    const tries: readonly [string, unknown, string][] = [
      ["Start", {}, "invalid_argument"],
      ["Start", start("true", { process: { cmd: "/no/such" } }), "invalid_argument"],
      ["Start", start("true", { process: { cmd: "a\0b" } }), "invalid_argument"],
      ["Connect", { process: { pid: 77 } }, "not_found"],
      ["Connect", { process: { pid: 1, tag: "x" } }, "invalid_argument"],
      ["Connect", { process: {} }, "invalid_argument"],
    ];
    for (const [method, message, code] of tries) {
      const [last, ...more] = (await stream(`/process.Process/${method}`, message)).reverse();
      expect(last, JSON.stringify(message)).to.deep.nested.include({ flags: 2, "error.code": code });
      expect(more).to.deep.equal([]);
    }
  });

  it("kills a program at the time that the client gives it, and only ends the stream of who has connected", async () => {
    const late = (await stream("/process.Process/Start", start("sleep 60"), { "connect-timeout-ms": "100" })).at(-1);
    expect(late).to.deep.nested.include({ flags: 2, "error.code": "deadline_exceeded" });
    const running = await sandboxes.processes(caller, view.id).start(
      {
        args: ["sleep", "60"],
        env: {},
        workingDir: "",
        user: "",
        stdin: false,
        tag: "t",
        limitMs: 0,
      },
      AbortSignal.timeout(5000),
    );
    const request = { process: { tag: "t" } };
    const events = await stream("/process.Process/Connect", request, { "connect-timeout-ms": "100" });
    expect(events.at(-1)).to.deep.nested.include({ flags: 2, "error.code": "deadline_exceeded" });
    expect(sandboxes.processes(caller, view.id).get(running.id).exit).to.equal(undefined);
    const list = await (await unary("/process.Process/List", {})).json();
    expect(list).to.deep.equal({
      processes: [{ config: { cmd: "sleep", args: ["60"], envs: {} }, pid: running.id, tag: "t" }],
    });
  });

  it("tells that it lives while a program is silent", async () => {
    const events = await stream("/process.Process/Start", start("sleep 1.5"), { "keepalive-ping-interval": "1" });
    expect(events).to.deep.include({ flags: 0, event: { keepalive: {} } });
  });

  it("takes a stream of input", async () => {
    const running = stream("/process.Process/Start", start("head -c 6", { stdin: true, tag: "in" }));
    await until(() => sandboxes.processes(caller, view.id).list().length > 0);
    const input = (text: string): unknown => ({ data: { input: { stdin: Buffer.from(text).toString("base64") } } });
    const frames = [{ start: { process: { tag: "in" } } }, input("one"), { keepalive: {} }, input("two")];
    const body = new Uint8Array(Buffer.concat(frames.map(messageFrame)));
    const of = { "content-type": "application/connect+json" };
    const response = await call("/process.Process/StreamInput", { method: "POST", body }, of);
    expect(framesIn(Buffer.from(await response.arrayBuffer()))).to.deep.equal([{ flags: 0 }, { flags: 2 }]);
    expect(textOf(await running, "stdout")).to.equal("onetwo");
  });

  it("says sh where an image has no bash", async () => {
    const processes = sandboxes.processes(caller, view.id);
    if (!("missing" in processes)) throw new Error("not the double");
    Object.assign(processes, { missing: ["/bin/bash"] });
    const events = await stream("/process.Process/Start", start("echo $0"));
    expect(textOf(events, "stdout")).to.match(/^\/bin\/sh/);
  });

  it("refuses what is not JSON of Connect, unknown methods, and messages beyond what one may have", async () => {
    const proto = await call(
      "/process.Process/List",
      { method: "POST", body: "" },
      { "content-type": "application/proto" },
    );
    expect(proto.status).to.equal(415);
    expect((await unary("/process.Process/Nothing", {})).status).to.equal(501);
    expect((await unary("/process.Process/constructor", {})).status).to.equal(501);
    expect((await unary("/process.Process/List", {}, { "connect-timeout-ms": "x" })).status).to.equal(400);
    const long = { process: { pid: 1 }, input: { stdin: "A".repeat(9 * 1024 * 1024) } };
    const answer = await unary("/process.Process/SendInput", long);
    expect([answer.status, memberOf(await answer.json(), "code")]).to.deep.equal([400, "invalid_argument"]);
  });

  it("reads all, a range, and nothing of a file; a directory is 400, a missing one 404", async () => {
    const octets = { "content-type": "application/octet-stream" };
    await call("/files?path=a", { method: "POST", body: "0123456789" }, octets);
    await call("/files?path=empty", { method: "POST", body: "" }, octets);
    expect(await (await call("/files?path=a")).text()).to.equal("0123456789");
    const part = await call("/files?path=a", {}, { range: "bytes=2-4" });
    expect([part.status, part.headers.get("content-range"), await part.text()]).to.deep.equal([
      206,
      "bytes 2-4/10",
      "234",
    ]);
    expect((await call("/files?path=a", {}, { range: "bytes=10-" })).status).to.equal(416);
    expect(await (await call("/files?path=empty")).text()).to.equal("");
    for (const [path, status] of [
      [".", 400],
      ["none", 404],
      ["", 400],
      ["a%00b", 400],
      ["x".repeat(5000), 400],
    ] as const) {
      const answer = await call(`/files?path=${path}`);
      expect([answer.status, memberOf(await answer.json(), "message") !== ""], path).to.deep.equal([status, true]);
    }
    expect((await call("/files?path=a", { method: "PUT", body: "x" })).status).to.equal(405);
    expect(
      (await call("/files?path=a", { method: "POST", body: "x" }, { ...octets, "content-encoding": "gzip" })).status,
    ).to.equal(415);
  });

  it("keeps metadata with a file that is written, until it is written again", async () => {
    const put = async (of: Record<string, string>): Promise<Response> =>
      await call("/files?path=m", { method: "POST", body: "1" }, { "content-type": "application/octet-stream", ...of });
    const stated = async (): Promise<unknown> => {
      const answer = await (await unary("/filesystem.Filesystem/Stat", { path: "m" })).json();
      return memberOf(memberOf(answer, "entry"), "metadata");
    };
    const written = await (
      await put({ "X-Metadata-Author": "me", "X-Metadata-__proto__": "p", "X-Metadata-": "x" })
    ).json();
    const kept: unknown = JSON.parse('{"author":"me","__proto__":"p"}');
    expect(written).to.have.deep.nested.property("[0].metadata", kept);
    expect(await stated()).to.deep.equal(kept);
    expect((await put({ "X-Metadata-Author": "ä" })).status, "no ASCII").to.equal(400);
    expect(await stated(), "as before").to.deep.equal(kept);
    await put({});
    expect(await stated()).to.equal(undefined);
  });

  it("keeps nothing of an upload whose connection is cut", async () => {
    const socket = connect(port.port, "127.0.0.1");
    const head = [
      "POST /files?path=half HTTP/1.1",
      "Host: x",
      `E2b-Sandbox-Id: ${view.id}`,
      `X-Access-Token: ${view.accessToken}`,
      "Content-Type: application/octet-stream",
      "Content-Length: 100",
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\nhalf of it`);
    const files = sandboxes.files(caller, view.id);
    const names = async (): Promise<string[]> => {
      const all = await files.list(".", { user: "" }, { depth: 1, limit: 10 }, AbortSignal.timeout(5000));
      return all.entries.map(({ name }) => name);
    };
    await untilAsync(async () => (await names()).length > 0);
    socket.destroy();
    await untilAsync(async () => (await names()).length === 0);
  });

  describe("to a port of a program", () => {
    let server: Server;
    let ofProgram: Record<string, string>;

    before(async () => {
      server = createServer((request, response) => {
        if (request.url === "/broken") {
          response.socket?.end("no HTTP at all");
          return;
        }
        response.writeHead(201, { "x-from": "program", "set-cookie": ["a=1", "b=2"] });
        response.write(`${request.method ?? ""} ${request.url ?? ""} ${JSON.stringify(request.headers)}\n`);
        request.pipe(response);
      });
      const sockets = new WebSocketServer({ server });
      sockets.on("connection", (socket) => {
        socket.on("message", (data) => {
          socket.send(data);
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      ofProgram = { "e2b-sandbox-port": String(portOf(server)) };
    });

    after(() => {
      server.closeAllConnections();
      server.close();
    });

    it("passes requests on as they are, less the way there and the keys", async () => {
      const of = { ...ofProgram, authorization: "Bearer app", "x-api-key": "team" };
      const response = await call("/a%20b?c=d", { method: "POST", body: "é".repeat(100_000) }, of);
      const text = await response.text();
      const [line = "", body] = text.split("\n");
      expect([response.status, response.headers.get("x-from")]).to.deep.equal([201, "program"]);
      expect(response.headers.getSetCookie()).to.deep.equal(["a=1", "b=2"]);
      expect(line)
        .to.match(/^POST \/a%20b\?c=d /)
        .and.contain('"authorization":"Bearer app"');
      expect(line).to.not.match(/access-token|api-key|sandbox-id/);
      expect(body).to.equal("é".repeat(100_000));
    });

    it("keeps to itself what authorised the caller", async () => {
      const anybody = await openHttpPort(edge.protocols, caller);
      try {
        const of = { "e2b-sandbox-id": view.id, ...ofProgram, authorization: "Bearer of-the-port" };
        const text = await (await fetch(`${anybody.url}/`, { headers: { ...of } })).text();
        expect(text)
          .to.match(/^GET \/ /)
          .and.not.contain("of-the-port");
      } finally {
        await anybody.close();
      }
    });

    it("passes WebSockets through", async () => {
      const of = { "e2b-sandbox-id": view.id, "x-access-token": view.accessToken, ...ofProgram };
      const socket = new WebSocket(`ws://127.0.0.1:${port.port}/ws`, { headers: of });
      const answer = await new Promise<string>((resolve, reject) => {
        socket.on("open", () => {
          socket.send("through");
        });
        socket.on("message", (data: Buffer) => {
          resolve(data.toString());
        });
        socket.on("error", reject);
      });
      socket.close();
      expect(answer).to.equal("through");
      const closed = new WebSocket(`ws://127.0.0.1:${port.port}/`, { headers: { ...of, "e2b-sandbox-port": "1" } });
      const status = await new Promise((resolve) => {
        closed.on("error", () => undefined);
        closed.on("unexpected-response", (_, response) => {
          resolve(response.statusCode);
        });
      });
      expect(status).to.equal(502);
    });

    it("gives an answer back while its client still sends", async () => {
      const headers = { "e2b-sandbox-id": view.id, "x-access-token": view.accessToken, ...ofProgram };
      const asking = httpRequest(port.url, { method: "POST", headers });
      asking.write("first, ");
      const answer = await new Promise<IncomingMessage>((resolve) => asking.once("response", resolve));
      asking.end("then");
      let text = "";
      for await (const chunk of answer) text += String(chunk);
      expect(text).to.match(/first, then$/);
    });

    it("gives an answer back whose program takes nothing of the body", async () => {
      const closing = createTcpServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => {
          socket.pause();
          socket.end("HTTP/1.1 413 No\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig");
        });
      });
      await new Promise<void>((resolve) => closing.listen(0, "127.0.0.1", resolve));
      try {
        const of = { "e2b-sandbox-port": String(portOf(closing)) };
        const response = await call("/", { method: "POST", body: Buffer.alloc(8 * 1024 * 1024) }, of);
        expect([response.status, await response.text()]).to.deep.equal([413, "big"]);
      } finally {
        closing.close();
      }
    });

    it("ends both halves of a connection whose upgrade it refuses", async () => {
      const way = { "e2b-sandbox-id": view.id, "x-access-token": view.accessToken, ...ofProgram };
      for (const of of [way, { ...way, "x-access-token": "wrong" }]) {
        const socket = connect({ port: port.port, host: "127.0.0.1", allowHalfOpen: true });
        const lines = Object.entries({ host: "x", connection: "Upgrade", upgrade: "other", ...of });
        socket.write(`GET / HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n`);
        socket.on("error", () => undefined).resume();
        await once(socket, "end");
        // Nobody reads at the other side any more: what is written to it comes back as a reset.
        const ended = new Promise((resolve) => socket.once("close", resolve));
        const writing = setInterval(() => socket.write("more"), 10);
        await ended;
        clearInterval(writing);
      }
    });

    it("answers 503 where what listens speaks no HTTP", async () => {
      expect((await call("/broken", {}, ofProgram)).status).to.equal(503);
    });
  });

  it("serves the default sandbox of who calls at the ports of debug mode", async () => {
    const asked = e2b({
      sandboxes,
      log: createLogger("error"),
      templates: [],
      debugSandbox: { template: "base", ports: [port.port + 1, 49_983] },
    });
    const debug = await openHttpPort(asked.protocols, { tenant: "debugger", name: "uid 0" });
    try {
      const own = { "e2b-sandbox-id": "debug_sandbox_id", "e2b-sandbox-port": "49983" };
      const all = await Promise.all(
        [1, 2, 3].map(async () => (await fetch(`${debug.url}/envs`, { headers: own })).status),
      );
      expect(all).to.deep.equal([200, 200, 200]);
      const made = sandboxes.list({ tenant: "debugger", name: "" }, {}, { limit: 10 }).items;
      expect(made).to.have.length(1);
      expect((await fetch(`${debug.url}/envs`)).status, "at a port of no sandbox").to.equal(404);
    } finally {
      asked.close();
      await debug.close();
    }
  });
});

function portOf(server: TcpServer): number {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

function framesIn(bytes: Buffer): unknown[] {
  const all: unknown[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32BE(at + 1);
    const message: unknown = JSON.parse(bytes.subarray(at + 5, at + 5 + size).toString());
    if (typeof message !== "object") throw new Error("no object");
    all.push({ flags: bytes[at], ...message });
    at += 5 + size;
  }
  return all;
}

function textOf(events: readonly unknown[], stream: string): string {
  const found = [...JSON.stringify(events).matchAll(new RegExp(`"data":\\{"${stream}":"([^"]*)"`, "g"))];
  return Buffer.concat(found.map(([, text = ""]) => Buffer.from(text, "base64"))).toString();
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? new Map<string, unknown>(Object.entries(value)).get(name)
    : undefined;
}

function plain(headers: RequestInit["headers"]): Record<string, string> {
  return Object.fromEntries(new Headers(headers).entries());
}

function dropEmpty(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ""));
}

async function raw(port: number, head: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

async function until(holds: () => boolean): Promise<void> {
  await untilAsync(() => Promise.resolve(holds()));
}

async function untilAsync(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}
