import { expect } from "chai";
import * as z from "zod";
import { RuntimeError } from "../../../../src/base/errors.js";
import { createLogger } from "../../../../src/base/log.js";
import { e2b, type E2b } from "../../../../src/sandboxes/e2b/e2b.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { openHttpPort, type HttpPort } from "../../../support/sandboxes/http-port.js";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

describe("E2B's control REST", () => {
  let sandboxes: DoubleSandboxes;
  let edge: E2b;
  let port: HttpPort;

  before(async () => {
    sandboxes = await DoubleSandboxes.open();
    edge = e2b({ sandboxes, log: createLogger("error"), templates: ["base"] });
    port = await openHttpPort(edge.protocols);
  });

  after(async () => {
    edge.close();
    await port.close();
    await sandboxes.close();
  });

  const ask = async (method: string, path: string, body?: unknown, key = "team"): Promise<Answer> => {
    const response = await fetch(port.url + path, {
      method,
      headers: key === "" ? {} : { "x-api-key": key },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const value: unknown = text === "" ? undefined : JSON.parse(text);
    return { status: response.status, headers: response.headers, body: value };
  };
  const made = async (asked: object = {}): Promise<string> => {
    const { status, body } = await ask("POST", "/v2/sandboxes", { templateID: "base", ...asked });
    expect(status).to.equal(201);
    return memberOf(body, "sandboxID");
  };

  it("makes a sandbox with what is asked for, tells of it and ends it, with and without the version in the path", async () => {
    for (const version of ["", "/v2"]) {
      const asked = { templateID: "base", timeout: 100, metadata: { a: "b" }, envVars: { C: "d" }, secure: true };
      const { status, body } = await ask("POST", `${version}/sandboxes`, { ...asked, allow_internet_access: false });
      expect(status).to.equal(201);
      expect(body).to.include({ templateID: "base", envdVersion: "0.6.13", domain: null });
      const id = memberOf(body, "sandboxID");
      expect(id).to.match(/^[a-z0-9]{20}$/);
      const detail = await ask("GET", `${version}/sandboxes/${id}`);
      expect(detail.body).to.deep.include({ state: "running", metadata: { a: "b" }, allowInternetAccess: false });
      expect(memberOf(detail.body, "envdAccessToken")).to.equal(memberOf(body, "envdAccessToken"));
      expect(memberOf(body, "trafficAccessToken")).to.not.equal(memberOf(body, "envdAccessToken"));
      expect((await ask("DELETE", `${version}/sandboxes/${id}`)).status).to.equal(204);
      const gone = await ask("DELETE", `${version}/sandboxes/${id}`);
      expect(gone).to.deep.include({ status: 404, body: { code: 404, message: `sandbox ${id} was not found` } });
    }
  });

  it("leaves /v1/sandboxes to the REST face of our own service", async () => {
    for (const [method, path] of [
      ["POST", ""],
      ["GET", ""],
      ["GET", "/abcdefghij0123456789"],
    ] as const) {
      const response = await fetch(`${port.url}/v1/sandboxes${path}`, { method, headers: { "x-api-key": "team" } });
      expect([response.status, await response.text()], method + path).to.deep.equal([404, "no protocol takes it"]);
    }
  });

  it("lists pages, by metadata, state, template and time, newest or oldest first", async () => {
    const key = "lister";
    const ids: string[] = [];
    for (const n of ["1", "2", "3"]) {
      const metadata = { n, both: "a=b&c é" };
      const { body } = await ask("POST", "/v2/sandboxes", { templateID: "base", metadata }, key);
      ids.push(memberOf(body, "sandboxID"));
    }
    const twice = (text: string): string => encodeURIComponent(encodeURIComponent(text));
    const both = encodeURIComponent(`both=${twice("a=b&c é")}`);
    const pages = async (query: string): Promise<string[][]> => {
      const all: string[][] = [];
      for (let token: string | null = ""; token !== null;) {
        const { status, headers, body } = await ask("GET", `/v2/sandboxes?${query}&nextToken=${token}`, undefined, key);
        expect(status).to.equal(200);
        all.push(listOf(body).map((one) => memberOf(one, "sandboxID")));
        token = headers.get("x-next-token");
      }
      return all;
    };
    const newest = [...ids].reverse();
    expect(await pages(`metadata=${both}&state=running,paused&limit=2`)).to.deep.equal([
      newest.slice(0, 2),
      newest.slice(2),
    ]);
    const oldest = (await pages("order=asc&limit=2")).flat();
    expect([...oldest].sort()).to.deep.equal([...ids].sort());
    expect(await pages("metadata=n%3D2")).to.deep.equal([[ids[1]]]);
    expect(await pages("template=other")).to.deep.equal([[]]);
    expect(await pages("state=paused")).to.deep.equal([[]]);
    expect(await pages("startedAfter=2100-01-01T00:00:00Z")).to.deep.equal([[]]);
    for (const query of ["limit=0", "limit=x", "state=gone", "order=up", "startedAfter=then"]) {
      expect((await ask("GET", `/v2/sandboxes?${query}`, undefined, key)).status, query).to.equal(400);
    }
  });

  it("extends the time: a timeout either way, a refresh and a connect only to later", async () => {
    const id = await made({ timeout: 1000 });
    const endsIn = async (): Promise<number> => {
      const { body } = await ask("GET", `/sandboxes/${id}`);
      return Math.round((Date.parse(memberOf(body, "endAt")) - Date.now()) / 1000);
    };
    expect((await ask("POST", `/v2/sandboxes/${id}/connect`, { timeout: 10 })).status).to.equal(200);
    expect(await endsIn()).to.be.within(990, 1000);
    expect((await ask("POST", `/sandboxes/${id}/timeout`, { timeout: 100 })).status).to.equal(204);
    expect(await endsIn()).to.be.within(90, 100);
    expect((await ask("POST", `/sandboxes/${id}/refreshes`, { duration: 500 })).status).to.equal(204);
    expect(await endsIn()).to.be.within(490, 500);
    expect((await ask("POST", `/sandboxes/${id}/refreshes`, { duration: 3601 })).status).to.equal(400);
    expect((await ask("POST", `/sandboxes/${id}/timeout`, { timeout: -1 })).status).to.equal(400);
  });

  it("tells the log of a sandbox in both versions, by time, direction, level and words", async () => {
    const id = await made();
    sandboxes.lines = [
      { atMs: 1000, source: "event", text: "sandbox ready" },
      { atMs: 2000, source: "stdout", text: "listening" },
      { atMs: 3000, source: "stderr", text: "a warning" },
      { atMs: 4000, source: "event", text: "process 7 started: listen", process: 7 },
    ];
    const said = async (query: string) => {
      const { status, body } = await ask("GET", `/v2/sandboxes/${id}/logs${query}`);
      expect(status, query).to.equal(200);
      return z
        .object({ logs: z.array(z.object({ message: z.string() })) })
        .parse(body)
        .logs.map((one) => one.message);
    };
    const all = sandboxes.lines.map(({ text }) => text);
    expect(await said("")).to.deep.equal(all);
    expect(await said("?direction=backward&limit=2")).to.deep.equal([all[3], all[2]]);
    expect(await said("?cursor=2000&limit=1")).to.deep.equal([all[1]]);
    expect(await said("?cursor=2000&direction=backward")).to.deep.equal([all[1], all[0]]);
    expect(await said("?level=warn")).to.deep.equal([all[2]]);
    expect(await said("?search=listen")).to.deep.equal([all[1], all[3]]);
    const last = { level: "info", message: all[3], fields: { source: "event", pid: "7" } };
    const { body } = await ask("GET", `/sandboxes/${id}/logs?start=4000`);
    expect(body).to.deep.equal({
      logs: [{ timestamp: "1970-01-01T00:00:04.000Z", line: all[3] }],
      logEntries: [{ timestamp: "1970-01-01T00:00:04.000Z", ...last }],
    });
    for (const query of ["?limit=-1", "?cursor=x", "?direction=up", "?level=loud"]) {
      expect((await ask("GET", `/v2/sandboxes/${id}/logs${query}`)).status, query).to.equal(400);
    }
    expect((await ask("GET", "/v2/sandboxes/nothing/logs")).status).to.equal(404);
  });

  it("leaves what begins with /v1 to the service of our own, which is on the same port", async () => {
    for (const [method, path] of [
      ["GET", "/v1/sandboxes"],
      ["POST", "/v1/sandboxes"],
      ["GET", "/v1/volumes"],
    ] as const) {
      const answer = await fetch(port.url + path, { method, headers: { "x-api-key": "team" } });
      expect(await answer.text(), path).to.equal("no protocol takes it");
    }
  });

  it("says 501 and why for what is not built, and 409 for what is paused already", async () => {
    const id = await made();
    const tries = [
      ["POST", `/sandboxes/${id}/pause`, { memory: false }],
      ["POST", `/sandboxes/${id}/snapshots`, {}],
      ["POST", `/sandboxes/${id}/fork`, { count: 2 }],
      ["GET", "/snapshots", undefined],
      ["POST", "/v3/templates", {}],
      ["GET", "/volumes", undefined],
      ["PUT", `/sandboxes/${id}/network`, { rules: { "a.b": [] } }],
      ["PUT", `/sandboxes/${id}/network`, { egressProxy: { address: "10.0.0.1:1080" } }],
      ["POST", "/v2/sandboxes", { templateID: "base", network: { rules: { "a.b": [] } } }],
      ["POST", "/v2/sandboxes", { templateID: "base", volumeMounts: [{ name: "v", path: "/v" }] }],
      ["POST", "/v2/sandboxes", { templateID: "base", mcp: {} }],
      ["POST", "/v2/sandboxes", { templateID: "base", autoPause: true, autoResume: { enabled: true } }],
      ["POST", "/v2/sandboxes", { templateID: "base", autoPause: true, autoPauseMemory: false }],
      ["POST", "/v2/sandboxes", { templateID: "base", network: { allowPublicTraffic: true } }],
    ] as const;
    for (const [method, path, body] of tries) {
      const answer = await ask(method, path, body);
      expect(answer.status, `${method} ${path} ${JSON.stringify(body)}`).to.equal(501);
      expect(answer.body, path).to.include({ code: 501 });
      expect(memberOf(answer.body, "message"), path).to.match(/not built/);
    }
    expect((await ask("POST", `/sandboxes/${id}/pause`)).status).to.equal(204);
    expect((await ask("POST", `/sandboxes/${id}/pause`)).body).to.include({ code: 409 });
    expect((await ask("POST", `/sandboxes/${id}/connect`)).status).to.equal(201);
    expect((await ask("POST", `/sandboxes/${id}/resume`)).status).to.equal(409);
  });

  it("takes rules of the network, tells them, and replaces all of them", async () => {
    const id = await made({ network: { allowOut: ["1.1.1.1"], denyOut: ["0.0.0.0/0"] } });
    const expectRules = async (network: unknown): Promise<void> => {
      expect((await ask("GET", `/sandboxes/${id}`)).body).to.deep.include({ network });
    };
    await expectRules({ allowOut: ["1.1.1.1"], denyOut: ["0.0.0.0/0"] });
    const other = { allowOut: ["*.example.org"], allow_internet_access: false };
    expect((await ask("PUT", `/sandboxes/${id}/network`, other)).status).to.equal(204);
    await expectRules({ allowOut: ["*.example.org"], denyOut: ["0.0.0.0/0"] });
    expect((await ask("GET", `/sandboxes/${id}`)).body).to.include({ allowInternetAccess: false });
    expect((await ask("PUT", `/sandboxes/${id}/network`, {})).status).to.equal(204);
    await expectRules({ allowOut: [], denyOut: [] });
    expect((await ask("GET", `/sandboxes/${id}`)).body).to.include({ allowInternetAccess: true });
  });

  it("takes no network at all, which stays so", async () => {
    const id = await made({ allow_internet_access: false });
    expect((await ask("GET", `/sandboxes/${id}`)).body).to.include({ allowInternetAccess: false });
    for (const same of [{ denyOut: ["0.0.0.0/0"] }, { allow_internet_access: false }]) {
      expect((await ask("PUT", `/sandboxes/${id}/network`, same)).status).to.equal(204);
    }
    expect((await ask("PUT", `/sandboxes/${id}/network`, {})).status).to.equal(409);
  });

  it("knows its templates by their names", async () => {
    expect((await ask("GET", "/templates/aliases/base")).body).to.deep.equal({ templateID: "base", public: true });
    expect((await ask("GET", "/templates/aliases/none")).status).to.equal(404);
  });

  it("leaves our own REST, which is version 1, to its protocol", async () => {
    for (const path of ["/v1/sandboxes", `/v1/sandboxes/${await made()}`]) {
      const response = await fetch(port.url + path, { headers: { "x-api-key": "team" } });
      expect([response.status, await response.text()], path).to.deep.equal([404, "no protocol takes it"]);
    }
  });

  it("has no sandbox of another tenant, and nothing for who has no key", async () => {
    const id = await made();
    for (const [method, what] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/connect"],
      ["GET", "/metrics"],
    ] as const) {
      const path = `/sandboxes/${id}${what}`;
      expect((await ask(method, path, undefined, "other")).status, path).to.equal(404);
      expect((await ask(method, path, undefined, "")).body, path).to.include({ code: 401 });
    }
    expect((await ask("GET", "/v2/sandboxes", undefined, "other")).body).to.deep.equal([]);
    expect((await ask("GET", `/sandboxes/${id}/metrics`)).body).to.have.length(1);
  });

  it("passes the core's refusals on, with when to try again", async () => {
    const create = { templateID: "base" };
    const refusals = [
      { code: "resourceExhausted", status: 429, again: "1" },
      { code: "unavailable", status: 503, again: "1" },
      { code: "invalidArgument", status: 400, again: null },
      { code: "internal", status: 500, again: null },
    ] as const;
    for (const { code, status, again } of refusals) {
      sandboxes.refusal = new RuntimeError(code, "why");
      const answer = await ask("POST", "/v2/sandboxes", create);
      expect(answer.status, code).to.equal(status);
      expect(answer.body, code).to.include({ code: status });
      expect(answer.headers.get("retry-after"), code).to.equal(again);
      expect(memberOf(answer.body, "message").includes("why"), code).to.equal(code !== "internal");
    }
    sandboxes.refusal = undefined;
    expect((await ask("POST", "/v2/sandboxes", { templateID: "no-such" })).body).to.include({ code: 404 });
  });

  it("refuses bodies that are none, or too long, or of the wrong members, and paths that are none", async () => {
    const bodies = [
      "{",
      "[]",
      '"x"',
      '{"templateID":3}',
      '{"templateID":""}',
      '{"templateID":"a","envVars":{"A=":"b"}}',
    ];
    for (const body of [...bodies, '{"templateID":"a","timeout":1e99}']) {
      expect((await ask("POST", "/v2/sandboxes", body)).status, body).to.equal(400);
    }
    const long = await ask("POST", "/v2/sandboxes", `{"templateID":"${"x".repeat(2_000_000)}"}`);
    expect(long.body).to.include({ code: 400 });
    const id = await made();
    for (const path of [`/sandboxes/${id}/x`, `/sandboxes/${id}/timeout/x`, `/sandboxes/${id}/constructor`]) {
      expect((await ask("POST", path, {})).status, path).to.equal(404);
    }
  });
});

function memberOf(value: unknown, name: string): string {
  const found =
    typeof value === "object" && value !== null ? new Map<string, unknown>(Object.entries(value)).get(name) : undefined;
  if (typeof found !== "string") throw new Error(`no ${name} in ${JSON.stringify(value)}`);
  return found;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(JSON.stringify(value));
  return value.map((one: unknown) => one);
}
