/** A Box that tries what it can at the gateway: each is refused and counted, and another Box's calls go on. */
import { expect } from "chai";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { boxOf, openGateway, type OpenGateway } from "../support/models/open-gateway.js";
import { eventually, limit } from "../support/wait.js";

const good = '{"model":"claude-9","messages":[]}';

describe("a hostile Box at the gateway", () => {
  let open: OpenGateway;
  let port: number;
  let token: string;
  let neighbour: () => Promise<string>;

  before(async () => {
    open = await openGateway({
      more: 'models = ["claude-*"]',
      limits: { connectionsOfBox: 64, idleMs: 600_000 },
    });
    port = await open.port({ ...boxOf("hostile"), providers: ["anthropic", "openai"] });
    token = open.tokens.of("hostile");
    const other = await open.port(boxOf("neighbour", "others"));
    neighbour = async () => await said(other, requestOf({ token: open.tokens.of("neighbour") }));
  });

  after(async () => {
    await open.close();
  });

  /** A request line, headers and body, with what a case puts in their place. */
  function requestOf(put: {
    readonly target?: string;
    readonly host?: string;
    readonly token?: string;
    readonly method?: string;
    readonly lines?: readonly string[];
    readonly framing?: readonly string[];
    readonly body?: string;
  }): string {
    const { body = good, framing = [`content-length: ${String(Buffer.byteLength(body))}`], lines = [] } = put;
    const head = [
      `${put.method ?? "POST"} ${put.target ?? "/anthropic/v1/messages"} HTTP/1.1`,
      ...(put.host === "" ? [] : [`host: ${put.host ?? "127.0.0.1:4089"}`]),
      `x-api-key: ${put.token ?? token}`,
      ...lines,
      ...framing,
      "connection: close",
    ];
    return `${head.join("\r\n")}\r\n\r\n${body}`;
  }

  const before401 = (): number => open.models.seen.length;

  it("is answered where it does as it should", async () => {
    expect(await said(port, requestOf({}))).to.match(/^HTTP\/1\.1 200 /);
  });

  it("is answered by HTTP/1.1 where its client would go on to another HTTP or to TLS, as curl and Java's would", async () => {
    for (const upgrade of ["h2c", "HTTP/2.0, h2c", "TLS/1.2"]) {
      const lines = [
        `upgrade: ${upgrade}`,
        "connection: Upgrade, HTTP2-Settings",
        "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA",
      ];
      const answer = await said(port, requestOf({ lines }));
      expect(answer, upgrade).to.match(/^HTTP\/1\.1 200 [^]*Hello from a model/);
    }
    const names = (open.models.seen.at(-1)?.headers ?? []).map((word) => word.toLowerCase());
    expect(names).to.include("x-api-key").and.not.include.members(["upgrade", "http2-settings"]);
  });

  it("gets to no other path, no other host and no other provider", async () => {
    const asked = before401();
    const cases: readonly (readonly [string, number])[] = [
      [requestOf({ target: "/anthropic/v1/files" }), 404],
      [requestOf({ target: "/anthropic/v1/messages/../organizations" }), 404],
      [requestOf({ target: "/anthropic/../openai/v1/files" }), 404],
      [requestOf({ target: "/anthropic//v1/messages" }), 404],
      [requestOf({ target: "/anthropic/v1/messages%00" }), 404],
      [requestOf({ target: "/gemini/v1beta/models/claude-9:generateContent" }), 404],
      [requestOf({ target: "/nothing/v1/messages" }), 404],
      [requestOf({ target: "/" }), 404],
      [requestOf({ target: "http://127.0.0.1:4089/anthropic/v1/messages" }), 421],
      [requestOf({ target: "http://169.254.169.254/latest/meta-data" }), 421],
      [requestOf({ host: "api.anthropic.com" }), 421],
      [requestOf({ host: "127.0.0.1.evil.example" }), 421],
      [requestOf({ host: "" }), 400],
      [requestOf({ lines: ["host: evil.example"] }), 400],
      [requestOf({ method: "DELETE", target: "/anthropic/v1/models/claude-9" }), 405],
      [requestOf({ method: "CONNECT", target: "evil.example:443" }), 405],
      [requestOf({ lines: ["upgrade: websocket", "connection: upgrade"] }), 405],
    ];
    for (const [text, status] of cases) {
      expect(await said(port, text), text).to.match(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    }
    expect(open.models.seen.length).to.equal(asked);
  });

  it("smuggles no second request, and no header, past it", async () => {
    const asked = before401();
    const smuggled = requestOf({ target: "/anthropic/v1/files" });
    const chunked = "transfer-encoding: chunked";
    const cases: readonly string[] = [
      requestOf({ framing: ["content-length: 4", chunked], body: `0\r\n\r\n${smuggled}` }),
      requestOf({ framing: [chunked, "content-length: 4"], body: `0\r\n\r\n${smuggled}` }),
      requestOf({ framing: ["content-length: 4", "content-length: 34"], body: good }),
      requestOf({ framing: ["content-length: 34, 4"], body: good }),
      requestOf({ framing: ["content-length: +34"], body: good }),
      requestOf({ framing: ["content-length: 0x22"], body: good }),
      requestOf({ framing: ["content-length : 34"], body: good }),
      requestOf({ framing: ["transfer-encoding: xchunked"], body: good }),
      requestOf({ framing: ["transfer-encoding: chunked, identity"], body: good }),
      requestOf({ framing: ["transfer-encoding:\u000bchunked"], body: good }),
      requestOf({ framing: [chunked, chunked], body: "0\r\n\r\n" }),
      requestOf({ framing: [chunked], body: "5\nabcde\n0\n\n" }),
      requestOf({ framing: [chunked], body: "FFFFFFFFFFFFFFFFF\r\n" }),
      requestOf({ framing: [chunked], body: `0\r\n\r\n` }), // an empty body, which is no JSON
      requestOf({ lines: ["x-folded: a\r\n b: c"] }),
      requestOf({ lines: ["x-bare: a\nx-second: b"] }),
      requestOf({ lines: ["x-return: a\rx-second: b"] }),
      requestOf({ lines: ["x-nul: a\u0000b"] }),
      requestOf({ lines: ["no colon here"] }),
      requestOf({ lines: [": no name"] }),
      requestOf({ lines: [`x-long: ${"x".repeat(40_000)}`] }),
      requestOf({}).replaceAll("\r\n", "\n"),
      "\u0016\u0003\u0001\u0002\u0000\u0001\u0000",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for (const text of cases) {
      const answer = await said(port, text);
      // What is no HTTP in the middle of a body ends the connection without a word.
      expect(answer, text.slice(0, 300)).to.match(/^(?:HTTP\/1\.1 4\d\d |$)/);
      expect(answer.match(/HTTP\/1\.1 /g)?.length ?? 0, text.slice(0, 300)).to.be.at.most(1);
    }
    expect(open.models.seen.length).to.equal(asked);
  });

  it("has what comes behind a whole request answered as a request of its own, by the same rules", async () => {
    const first = requestOf({}).replace("connection: close", "connection: keep-alive");
    const both = await said(port, first + requestOf({ target: "/anthropic/v1/files" }));
    expect(both.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(["HTTP/1.1 200", "HTTP/1.1 404"]);
  });

  it("has nothing of a token of another Box, a guessed one, or none", async () => {
    const asked = before401();
    for (const shown of [open.tokens.of("neighbour"), "key-1", "", `${token}x`, token.slice(1)]) {
      expect(await said(port, requestOf({ token: shown })), shown).to.match(/^HTTP\/1\.1 401 /);
    }
    expect(open.models.seen.length).to.equal(asked);
  });

  it("reaches no model but those that are allowed, in whatever way it names one", async () => {
    const asked = before401();
    const cases: readonly (readonly [string, number])[] = [
      ['{"model":"gpt-9"}', 403],
      ['{"messages":[]}', 403],
      ['{"model":"claude-9","model":"gpt-9"}', 400],
      ['{"model":"claude-9","m\\u006fdel":"gpt-9"}', 400],
      ['{"model":"claude-9","MODEL":"gpt-9"}', 400],
      ['{"model":"claude-9","models":["gpt-9"]}', 403],
      ['{"model":"claude-9","fallbacks":["gpt-9"]}', 403],
      ['{"model":["claude-9"]}', 400],
      ['\ufeff{"model":"gpt-9"}', 400],
      ['{"model":"claude-9"} {"model":"gpt-9"}', 400],
    ];
    for (const [body, status] of cases) {
      expect(await said(port, requestOf({ body })), body).to.match(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    }
    const utf16 = Buffer.from('{"model":"gpt-9"}', "utf16le").toString("latin1");
    const head = requestOf({ framing: [`content-length: ${String(utf16.length)}`], body: "" });
    expect(await said(port, head + utf16)).to.match(/^HTTP\/1\.1 400 /);
    const packed = requestOf({ lines: ["content-encoding: gzip"] });
    expect(await said(port, packed)).to.match(/^HTTP\/1\.1 415 /);
    expect(open.models.seen.length).to.equal(asked);
  });

  it("holds nothing with a body that never ends, or a head that never comes", async () => {
    const limits = { headersMs: 2000, body: { idleMs: 2000, totalMs: 3000 } };
    const own = await openGateway({ limits });
    const impatient = { port: await own.port(boxOf("hostile")), token: own.tokens.of("hostile") };
    const endless = connect(impatient.port, "127.0.0.1");
    endless.on("error", () => undefined);
    endless.write(requestOf({ token: impatient.token, framing: ["transfer-encoding: chunked"], body: "" }));
    const feeding = setInterval(() => endless.write("1\r\n{\r\n"), 50);
    const silent = connect(impatient.port, "127.0.0.1");
    silent.on("error", () => undefined);
    silent.write("POST /anthropic/v1/messages HTTP/1.1\r\nhost: ");
    const ends = [endless, silent].map((socket) => ended(socket));
    const other = await own.port(boxOf("neighbour"));
    expect(await said(other, requestOf({ token: own.tokens.of("neighbour") }))).to.match(/^HTTP\/1\.1 200 /);
    const [body, head] = await Promise.all(ends);
    clearInterval(feeding);
    expect(body).to.match(/^HTTP\/1\.1 408 /);
    expect(head).to.match(/^HTTP\/1\.1 408 /);
    expect(await own.metrics.text()).to.match(/a3s_box_llm_refused_total\{provider="anthropic",reason="slow"\} 1/);
    await own.close();
  });

  it("has its share of connections and no more: ten thousand of them take nobody's place", async () => {
    const kept: Socket[] = [];
    let refused = 0;
    for (let done = 0; done < 10_000; done += 200) {
      const some = await Promise.all(
        Array.from({ length: 200 }, async () => {
          const socket = connect(port, "127.0.0.1");
          socket.on("error", () => undefined).on("close", () => (refused += 1));
          socket.resume();
          await Promise.race([once(socket, "connect"), once(socket, "close")]);
          return socket;
        }),
      );
      kept.push(...some);
      if (done % 2000 === 0) expect(await neighbour(), String(done)).to.match(/^HTTP\/1\.1 200 /);
    }
    await eventually("the rest to be closed", 10_000, () => (refused >= 10_000 - 64 ? true : undefined));
    expect(refused).to.be.at.most(10_000 - 32);
    expect(await neighbour()).to.match(/^HTTP\/1\.1 200 /);
    for (const socket of kept) socket.destroy();
    await eventually("a place again", 5000, async () =>
      (await said(port, requestOf({}))).startsWith("HTTP/1.1 200 ") ? true : undefined,
    );
  });

  it("has each refusal counted by its reason, and fills no log with them", async () => {
    const text = await open.metrics.text();
    const reasons = ["host", "path", "token", "provider", "model", "body", "http", "connections"];
    for (const reason of reasons) {
      expect(text, reason).to.match(
        new RegExp(`a3s_box_llm_refused_total\\{provider="[a-z]+",reason="${reason}"\\} [1-9]`),
      );
    }
    expect(open.lines.filter((line) => line.includes("model call refused")).length).to.be.at.most(80);
  });
});

/** All that comes back, until the connection ends. */
async function said(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  const answer = ended(socket);
  socket.write(Buffer.from(text, encodingOf(text)));
  return await answer;
}

/** UTF-8 where a text has more than bytes in it. */
function encodingOf(text: string): "latin1" | "utf8" {
  return /[^\u0000-\u00ff]/.test(text) ? "utf8" : "latin1";
}

async function ended(socket: Socket): Promise<string> {
  const parts: string[] = [];
  socket.setEncoding("latin1").on("data", (part: string) => parts.push(part));
  socket.setTimeout(limit(10_000), () => socket.destroy(new Error("no end")));
  if (!socket.destroyed) await once(socket, "close");
  return parts.join("");
}
