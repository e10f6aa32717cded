import { expect } from "chai";
import { rename, writeFile } from "node:fs/promises";
import { request, type IncomingHttpHeaders } from "node:http";
import { boxOf, openGateway, type OpenGateway } from "../support/models/open-gateway.js";
import { eventually } from "../support/wait.js";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly isWhole: boolean;
}

/** `token`: undefined is none; `more`: headers. */
interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly token?: string | undefined;
  readonly body?: string | Buffer;
  readonly more?: readonly (readonly [string, string])[];
  readonly onPart?: (part: string) => void;
}

const messages = "/anthropic/v1/messages";
const hello = { max_tokens: 5, messages: [{ role: "user", content: "a secret of the user" }] };

function body(model: string, more: object = {}): string {
  return JSON.stringify({ ...hello, model, ...more });
}

async function ask(port: number, asked: Asked): Promise<Answer> {
  const { body: sent = body("model-1"), method = "POST", more = [], onPart, path = messages, token } = asked;
  const headers: string[] = ["Host", "127.0.0.1:4089", ...more.flat()];
  if (token !== undefined) headers.push("X-Api-Key", token);
  if (method === "POST")
    headers.push("Content-Type", "application/json", "Content-Length", String(Buffer.byteLength(sent)));
  return await new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (incoming) => {
      const parts: string[] = [];
      incoming.setEncoding("latin1").on("data", (part: string) => {
        parts.push(part);
        onPart?.(part);
      });
      incoming.on("error", () => undefined);
      incoming.on("close", () => {
        const { complete: isWhole, headers: answered, statusCode: status = 0 } = incoming;
        resolve({ status, headers: answered, text: parts.join(""), isWhole });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(method === "POST" ? sent : undefined);
  });
}

describe("the gateway to models", () => {
  let open: OpenGateway;
  let port: number;
  let token: string;

  before(async () => {
    open = await openGateway();
    port = await open.port(boxOf("box-1"));
    token = open.tokens.of("box-1");
  });

  after(async () => {
    await open.close();
  });

  const last = () => {
    const seen = open.models.seen.at(-1);
    if (seen === undefined) throw new Error("nothing came");
    return seen;
  };
  const headerOf = (name: string): string[] =>
    last().headers.filter((_value, at, all) => at % 2 === 1 && all[at - 1]?.toLowerCase() === name);

  it("puts the key where the provider wants it, and the Box's own token goes nowhere", async () => {
    const cases = [
      [messages, "x-api-key", "key-1", "/v1/messages"],
      ["/openai/v1/chat/completions", "authorization", "Bearer key-1", "/v1/chat/completions"],
      ["/gemini/v1beta/models/g-1:generateContent", "x-goog-api-key", "key-1", "/v1beta/models/g-1:generateContent"],
    ] as const;
    for (const [path, header, value, upstream] of cases) {
      const answer = await ask(port, { path, token });
      expect(answer.status, answer.text).to.equal(200);
      expect(headerOf(header)).to.deep.equal([value]);
      expect(last().path).to.equal(upstream);
      expect(JSON.stringify(last())).not.to.contain(token);
    }
  });

  it("takes the token in each of the ways in which clients show a key", async () => {
    const ways = [
      ["Authorization", `Bearer ${token}`],
      ["x-goog-api-key", token],
      ["api-key", token],
    ] as const;
    for (const way of ways) expect((await ask(port, { more: [way] })).status, way[0]).to.equal(200);
    const path = `/gemini/v1beta/models/g-1:generateContent?key=${token}&alt=json`;
    expect((await ask(port, { path })).status).to.equal(200);
    expect(last().path).to.equal("/v1beta/models/g-1:generateContent?alt=json");
  });

  it("gives the rest on byte for byte, and back", async () => {
    const odd = `{ "model" : "cookie",\n\t"x":"\\u00e9 é 😀", "big": 12345678901234567890, "stream" : false }`;
    const more = [
      ["anthropic-version", "2023-06-01"],
      ["Anthropic-Beta", "one"],
      ["Anthropic-Beta", "two"],
      ["X-Unknown", "  kept"],
    ] as const;
    const answer = await ask(port, { path: `${messages}?beta=true`, token, body: odd, more });
    expect(last().body).to.equal(odd);
    expect(last().path).to.equal("/v1/messages?beta=true");
    const text = last().headers.join("\n");
    for (const part of [
      "anthropic-version\n2023-06-01",
      "Anthropic-Beta\none\nAnthropic-Beta\ntwo",
      "X-Unknown\nkept",
    ]) {
      expect(text).to.contain(part);
    }
    expect(answer.headers["x-odd"]).to.equal("kept");
    expect(answer.text).to.equal("{}");
    expect(answer.headers["set-cookie"]).to.equal(undefined);
    expect(answer.headers["alt-svc"]).to.equal(undefined);
  });

  it("drops what a client says of itself: other keys, cookies, ways it came, another method", async () => {
    const more = [
      ["Cookie", "a=b"],
      ["Proxy-Authorization", "Basic eA=="],
      ["Authorization", "Bearer stolen"],
      ["X-Forwarded-For", "10.0.0.1"],
      ["X_Forwarded_Host", "evil.example"],
      ["Forwarded", "for=10.0.0.1"],
      ["Via", "1.1 x"],
      ["X-HTTP-Method-Override", "DELETE"],
      ["X-Original-URL", "/admin"],
      ["OpenAI-Organization", "org-other"],
      ["Accept-Encoding", "zstd"],
      ["TE", "trailers"],
    ] as const;
    expect((await ask(port, { token, more })).status).to.equal(200);
    for (const [name] of more.filter(([one]) => one !== "Accept-Encoding")) {
      expect(headerOf(name.toLowerCase()), name).to.deep.equal([]);
    }
    expect(headerOf("accept-encoding")).to.deep.equal(["identity"]);
    expect(headerOf("host")).to.deep.equal([new URL(open.models.url).host]);
  });

  it("gives an answer on as it comes; a key that changes meanwhile breaks no stream, and is the next call's", async () => {
    let release: () => void = () => undefined;
    open.models.hold = new Promise((resolve) => (release = resolve));
    const parts: string[] = [];
    const streaming = ask(port, { token, body: body("held", { stream: true }), onPart: (part) => parts.push(part) });
    await eventually("the first events", 5000, () =>
      parts.join("").includes("content_block_start") ? true : undefined,
    );
    await writeFile(`${open.keyFile}.new`, "key-2\n");
    await rename(`${open.keyFile}.new`, open.keyFile);
    open.models.keys = ["key-2"];
    const next = await ask(port, { token });
    expect(next.status, next.text).to.equal(200);
    expect(headerOf("x-api-key")).to.deep.equal(["key-2"]);
    release();
    const streamed = await streaming;
    expect([streamed.status, streamed.isWhole]).to.deep.equal([200, true]);
    expect(streamed.text).to.contain("message_stop");
  });

  it("says that the provider refuses its key, without what the provider says of it", async () => {
    open.models.keys = ["another"];
    const answer = await ask(port, { token });
    open.models.keys = ["key-2"];
    expect(answer.status).to.equal(401);
    expect(answer.text).to.contain("anthropic refuses the key").and.not.to.contain("key-2");
  });

  it("names the provider where there is no key, and asks nobody", async () => {
    const before = open.models.seen.length;
    await rename(open.keyFile, `${open.keyFile}.away`);
    const answer = await eventually("503", 5000, async () => {
      const now = await ask(port, { token });
      return now.status === 503 ? now : undefined;
    });
    expect(answer.text).to.contain("there is no key for anthropic now");
    const asked = open.models.seen.length;
    expect((await ask(port, { token })).status).to.equal(503);
    expect(open.models.seen.length).to.equal(asked).and.to.be.at.least(before);
    await rename(`${open.keyFile}.away`, open.keyFile);
    await eventually("the key again", 5000, async () =>
      (await ask(port, { token })).status === 200 ? true : undefined,
    );
  });

  it("covers a key that the upstream says again, in a header, in a body, and over the borders of its pieces", async () => {
    const answer = await ask(port, { token, body: body("echo") });
    expect(answer.status).to.equal(400);
    expect(answer.text).to.equal("you said *****, and *****");
    expect(answer.headers["x-echo"]).to.equal("*****");
  });

  it("gives errors of the upstream back as they are", async () => {
    const answer = await ask(port, { token, body: body("busy") });
    expect([answer.status, answer.headers["retry-after"]]).to.deep.equal([429, "17"]);
    expect(answer.text).to.equal('{"error":{"type":"rate_limit_error","message":"the model is busy"}}');
  });

  it("follows no redirect, and does not say where it leads", async () => {
    const answer = await ask(port, { token, body: body("away") });
    expect(answer.status).to.equal(502);
    expect(answer.headers.location).to.equal(undefined);
    expect(answer.text).not.to.contain("127.0.0.1");
  });

  it("tells an upstream that breaks off from one that says nothing, and lets no half answer pass for a whole one", async () => {
    expect((await ask(port, { token, body: body("reset") })).status).to.equal(502);
    const impatient = await openGateway({ limits: { headMs: 500 } });
    try {
      const one = await impatient.port(boxOf("one"));
      expect((await ask(one, { token: impatient.tokens.of("one"), body: body("slow") })).status).to.equal(504);
    } finally {
      await impatient.close();
    }
    const broken = await ask(port, { token, body: body("broken", { stream: true }) });
    expect([broken.status, broken.isWhole]).to.deep.equal([200, false]);
  });

  it("ends the upstream's work when the client goes", async () => {
    open.models.hold = new Promise(() => undefined);
    const before = open.models.connections();
    const headers = { host: "localhost", "x-api-key": token };
    const outgoing = request({ host: "127.0.0.1", port, path: messages, method: "POST", headers, agent: false });
    await new Promise<void>((resolve) => {
      outgoing.on("response", () => {
        resolve();
      });
      outgoing.end(body("held", { stream: true }));
    });
    outgoing.on("error", () => undefined).destroy();
    await eventually("the upstream's connection to end", 5000, () =>
      open.models.connections() <= before ? true : undefined,
    );
  });

  it("counts tokens, streamed or not, by OpenTelemetry's names, and calls by provider and status", async () => {
    const text = await open.metrics.text();
    expect(text).to.match(/a3s_box_llm_requests_total\{provider="anthropic",code="200"\} \d+/);
    expect(text).to.match(/a3s_box_llm_requests_total\{provider="anthropic",code="503"\} \d+/);
    expect(text).to.match(
      /gen_ai_client_inference_usage_input_tokens_total\{.*gen_ai_request_model="held".*\} (?:60|120)/,
    );
    expect(text).to.match(
      /gen_ai_client_inference_time_to_first_chunk_seconds_count\{.*gen_ai_request_model="held".*\} [12]/,
    );
    expect(text).to.match(/gen_ai_client_inference_duration_seconds_count\{.*error_type="429"\} 1/);
    expect(text).to.match(/a3s_box_llm_requests_in_flight\{provider="anthropic"\} 0/);
    expect(text).not.to.contain("box-1").and.not.to.contain("team");
  });

  it("logs a line for each call, with neither key, token nor content", () => {
    const lines = open.lines.join("");
    expect(lines).to.contain('"msg":"model call"').and.to.contain('"sandboxId":"box-1"').and.to.contain('"input":60');
    for (const secret of ["key-1", "key-2", token, "a secret of the user", "Hello from"]) {
      expect(lines, secret).not.to.contain(secret);
    }
  });
});

describe("the gateway's limits", () => {
  it("hold a Box to its requests, say when it may ask again, and leave other Boxes alone", async () => {
    const open = await openGateway({ more: "box = { requests_a_minute = 2 }" });
    try {
      const [one, other] = [await open.port(boxOf("one")), await open.port(boxOf("other"))];
      const token = open.tokens.of("one");
      for (const wanted of [200, 200, 429]) expect((await ask(one, { token })).status).to.equal(wanted);
      const refused = await ask(one, { token });
      expect(Number(refused.headers["retry-after"])).to.be.within(1, 30);
      expect((await ask(other, { token: open.tokens.of("other") })).status).to.equal(200);
    } finally {
      await open.close();
    }
  });

  it("count tokens of streams that were broken off before they said what they cost", async () => {
    const open = await openGateway({ more: "box = { tokens_a_minute = 20 }" });
    try {
      const port = await open.port(boxOf("one"));
      const token = open.tokens.of("one");
      const path = "/openai/v1/chat/completions";
      expect((await ask(port, { token, path, body: body("broken", { stream: true }) })).isWhole).to.equal(false);
      await eventually("a refusal", 5000, async () =>
        (await ask(port, { token, path })).status === 429 ? true : undefined,
      );
    } finally {
      await open.close();
    }
  });

  it("bound how large a body may be, and what it may hold", async () => {
    const open = await openGateway({ more: "max_body_mib = 1", limits: { heldBytesOfBox: 600_000 } });
    try {
      const port = await open.port(boxOf("one"));
      const token = open.tokens.of("one");
      const large = await ask(port, { token, body: body("model-1", { pad: "x".repeat(1_100_000) }) });
      expect([large.status, large.headers.connection]).to.deep.equal([413, "close"]);
      const much = await ask(port, { token, body: body("model-1", { pad: "x".repeat(900_000) }) });
      expect([much.status, much.headers["retry-after"]]).to.deep.equal([429, "2"]);
      expect((await ask(port, { token, body: body("model-1", { pad: "x".repeat(400_000) }) })).status).to.equal(200);
    } finally {
      await open.close();
    }
  });

  it("bound how long a body may take", async () => {
    const open = await openGateway({ limits: { body: { idleMs: 300, totalMs: 1000 } } });
    try {
      const port = await open.port(boxOf("one"));
      const headers = { host: "localhost", "x-api-key": open.tokens.of("one"), "content-length": "100" };
      const status = await new Promise<number | undefined>((resolve, reject) => {
        const slow = request({ host: "127.0.0.1", port, path: messages, method: "POST", headers, agent: false });
        slow.on("response", ({ statusCode }) => {
          resolve(statusCode);
          slow.destroy();
        });
        slow.on("error", reject);
        slow.write("{");
      });
      expect(status).to.equal(408);
    } finally {
      await open.close();
    }
  });
});

describe("the way to an upstream", () => {
  it("goes by the environment's proxy, with TLS to the upstream itself", async () => {
    const { startProxy } = await import("../support/http-proxy.js");
    const open = await openGateway();
    const proxy = await startProxy(open.models.port);
    const through = await openGateway({
      upstream: "https://models.example",
      environment: { HTTPS_PROXY: `http://user:word@${proxy.host}` },
    });
    try {
      // Its own fake has another authority: the answer is a refusal to trust, which only TLS from end to end can give.
      const port = await through.port(boxOf("one"));
      const answer = await ask(port, { token: through.tokens.of("one") });
      expect(answer.status).to.equal(502);
      expect(answer.text).to.contain("not trusted");
      const login = Buffer.from("user:word").toString("base64");
      expect(proxy.requests).to.deep.equal([`CONNECT models.example:443 Basic ${login}`]);
    } finally {
      await through.close();
      await proxy.stop();
      await open.close();
    }
  });

  it("that can't be gone is told by the provider's name alone", async () => {
    const open = await openGateway({ upstream: "https://127.0.0.1:1" });
    try {
      const port = await open.port(boxOf("one"));
      const answer = await ask(port, { token: open.tokens.of("one") });
      expect(answer.status).to.equal(502);
      expect(answer.text).to.contain("anthropic can't be reached").and.not.to.contain("ECONNREFUSED");
      expect(open.lines.join("")).to.contain("ECONNREFUSED");
    } finally {
      await open.close();
    }
  });
});
