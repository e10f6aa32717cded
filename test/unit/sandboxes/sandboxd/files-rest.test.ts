import { expect } from "chai";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { sandboxdProtocols } from "../../../../src/sandboxes/sandboxd/sandboxd.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { type HttpPort, openHttpPort } from "../../../support/sandboxes/http-port.js";
import { eventually } from "../../../support/wait.js";

const caller = { tenant: "a", name: "token a" };

describe("/v1/files and what is beside it", () => {
  let core: DoubleSandboxes;
  let port: HttpPort;
  let sandbox: SandboxView;
  const stopping = new AbortController();

  before(async () => {
    core = await DoubleSandboxes.open();
    const log = createLogger("error", { write: () => undefined });
    const { http } = sandboxdProtocols({ sandboxes: core, log, stopping: stopping.signal });
    port = await openHttpPort(http, caller);
    const env = { SANDBOX_NAME: "one", SANDBOX_API_KEY: "secret", HOME: "/" };
    sandbox = await core.create(caller, { template: "t", env, mounts: [], metadata: {} });
  });

  after(async () => {
    await port.close();
    await core.close();
  });

  const at = (path: string): string => join(sandbox.workingDir, path);
  const ask = async (method: string, path: string, options: RequestInit = {}): Promise<Response> =>
    await fetch(`${port.url}${path}`, { ...options, method });
  const failure = async (answer: Response): Promise<[number, unknown]> => {
    const body: unknown = await answer.json();
    expect(body).to.have.keys("code", "message");
    return [answer.status, body instanceof Object && "code" in body ? body.code : undefined];
  };
  /** As curl --path-as-is: fetch takes ".." out of paths by itself. */
  const raw = (method: string, path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      httpRequest({ port: port.port, method, path }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      })
        .on("error", reject)
        .end();
    });

  it("puts a file with the directories above it, and gets it back", async () => {
    const put = await ask("PUT", "/v1/files/sub%2Fa%20b.txt?mode=0755", { body: "hello" });
    expect(put.status).to.equal(204);
    const got = await ask("GET", "/v1/files/sub/a%20b.txt");
    expect([got.status, await got.text()]).to.deep.equal([200, "hello"]);
    expect(got.headers.get("content-type")).to.equal("application/octet-stream");
    expect(got.headers.get("content-length")).to.equal("5");
    const head = await ask("HEAD", "/v1/files/sub/a%20b.txt");
    expect([head.status, head.headers.get("content-length"), await head.text()]).to.deep.equal([200, "5", ""]);
  });

  it("takes the part named file of a form", async () => {
    const form = new FormData();
    form.set("note", "not this");
    form.set("file", new Blob(["from a form"]), "whatever.txt");
    expect((await ask("PUT", "/v1/files/form.txt", { body: form })).status).to.equal(204);
    expect(await readFile(at("form.txt"), "utf8")).to.equal("from a form");
    const none = new FormData();
    none.set("other", "x");
    expect(await failure(await ask("PUT", "/v1/files/none.txt", { body: none }))).to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
  });

  it("sends the bytes that a range names", async () => {
    await writeFile(at("digits"), "0123456789");
    const ranged = async (range: string): Promise<[number, string | null, string]> => {
      const answer = await ask("GET", "/v1/files/digits", { headers: { range } });
      return [answer.status, answer.headers.get("content-range"), answer.status === 416 ? "" : await answer.text()];
    };
    expect(await ranged("bytes=2-4")).to.deep.equal([206, "bytes 2-4/10", "234"]);
    expect(await ranged("bytes=7-")).to.deep.equal([206, "bytes 7-9/10", "789"]);
    expect(await ranged("bytes=-3")).to.deep.equal([206, "bytes 7-9/10", "789"]);
    expect(await ranged("bytes=0-99")).to.deep.equal([206, "bytes 0-9/10", "0123456789"]);
    expect(await ranged("bytes=10-")).to.deep.equal([416, "bytes */10", ""]);
    expect(await ranged("bytes=4-2")).to.deep.equal([200, null, "0123456789"]);
    expect(await ranged("bytes=0-1,3-4")).to.deep.equal([200, null, "0123456789"]);
  });

  it("lists a directory by name, links followed, those that lead nowhere left out", async () => {
    await mkdir(at("list/sub"), { recursive: true });
    await writeFile(at("list/b.txt"), "12345", { mode: 0o640 });
    await symlink("b.txt", at("list/a-link"));
    await symlink("nowhere", at("list/broken"));
    const body: unknown = await (await ask("GET", "/v1/files/list")).json();
    expect(body).to.have.property("path", "/list");
    const entries: unknown = body instanceof Object && "entries" in body ? body.entries : undefined;
    if (!Array.isArray(entries)) throw new Error("no entries");
    const shown = entries.map(({ name, type, size, mode }: Record<string, unknown>) => [
      name,
      type,
      type === "file" && size,
      mode,
    ]);
    expect(shown).to.deep.equal([
      ["a-link", "file", 5, "0640"],
      ["b.txt", "file", 5, "0640"],
      ["sub", "directory", false, "0755"],
    ]);
    expect(entries[0])
      .to.have.property("modified_at")
      .that.matches(/^\d{4}-\d\d-\d\dT.*Z$/);
    const root: unknown = await (await ask("GET", "/v1/files/.")).json();
    expect(root).to.have.property("path", "/");
  });

  it("answers what goes wrong as the table says", async () => {
    await mkdir(at("full/sub"), { recursive: true });
    expect(await failure(await ask("GET", "/v1/files/no-such"))).to.deep.equal([404, "NOT_FOUND"]);
    expect(await failure(await ask("PUT", "/v1/files/x?mode=755", { body: "" })), "mode").to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
    expect(await failure(await ask("PUT", "/v1/files/x?mode=0888", { body: "" })), "mode").to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
    expect(await failure(await ask("PUT", "/v1/files/full", { body: "" })), "directory").to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
    expect(await failure(await ask("PUT", "/v1/files/", { body: "" })), "root").to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
    expect(await failure(await ask("GET", "/v1/files/%ff")), "not UTF-8").to.deep.equal([400, "INVALID_ARGUMENT"]);
    expect(await failure(await ask("GET", "/v1/files/a%00b")), "NUL").to.deep.equal([400, "INVALID_ARGUMENT"]);
    expect(await failure(await ask("DELETE", "/v1/files/no-such"))).to.deep.equal([404, "NOT_FOUND"]);
    expect(await failure(await ask("DELETE", "/v1/files/")), "root").to.deep.equal([409, "CONFLICT"]);
    expect(await failure(await ask("DELETE", "/v1/files/x?recursive=perhaps"))).to.deep.equal([
      400,
      "INVALID_ARGUMENT",
    ]);
    expect((await ask("POST", "/v1/files/x")).status).to.equal(405);
  });

  it("hands '..' on as it was sent, for the sandbox to judge", async () => {
    const seen: string[] = [];
    const files = core.files(caller, sandbox.id);
    const stat = files.stat.bind(files);
    files.stat = (path, scope, follow, signal) => {
      seen.push(path);
      expect(scope.root).to.equal(sandbox.workingDir);
      return stat(path, scope, follow, signal);
    };
    try {
      for (const path of ["../../etc/passwd", "%2e%2e/etc/passwd", "..%2Fetc%2Fpasswd"])
        await raw("GET", `/v1/files/${path}`);
    } finally {
      files.stat = stat;
    }
    expect(seen).to.deep.equal(["./../../etc/passwd", "./../etc/passwd", "./../etc/passwd"]);
  });

  it("leaves nothing of an upload whose connection is cut", async () => {
    for (const head of ["content-length: 1000\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]) {
      const socket = connect(port.port, "127.0.0.1");
      socket.write(`PUT /v1/files/cut HTTP/1.1\r\nhost: x\r\n${head}`);
      await eventually("the upload", 1500, async () => (await readdir(at("."))).includes("cut.partial") || undefined);
      socket.destroy();
      await eventually(
        "the end of it",
        1500,
        async () => !(await readdir(at("."))).includes("cut.partial") || undefined,
      );
      expect(await readdir(at("."))).not.to.include("cut");
    }
  });

  it("removes files, and what is in a directory where that is asked for", async () => {
    await mkdir(at("gone/sub"), { recursive: true });
    expect((await ask("DELETE", "/v1/files/gone?recursive=true")).status).to.equal(204);
    expect((await ask("DELETE", "/v1/files/?recursive=true")).status).to.equal(204);
    expect(await readdir(at("."))).to.deep.equal([]);
  });

  it("shows of the environment what is meant to be shown", async () => {
    expect(await (await ask("GET", "/v1/metadata")).json()).to.deep.equal({ env: { SANDBOX_NAME: "one" } });
  });

  it("serves the older runtime's clients", async () => {
    const execute = async (command: string): Promise<unknown> =>
      await (await ask("POST", "/execute", { body: JSON.stringify({ command }) })).json();
    expect(await execute(`sh -c 'echo "$0 $1"; exit 3' a "b c"`)).to.deep.equal({
      stdout: "a b c\n",
      stderr: "",
      exit_code: 3,
    });
    const form = new FormData();
    form.set("file", new Blob(["old"]), "dir/old.txt");
    expect((await ask("POST", "/upload", { body: form })).status).to.equal(200);
    expect(await (await ask("GET", "/download/dir%2Fold.txt")).text()).to.equal("old");
    expect(await (await ask("GET", "/exists/dir%2Fold.txt")).json()).to.deep.equal({
      path: "dir/old.txt",
      exists: true,
    });
    expect(await (await ask("GET", "/exists/nothing")).json()).to.deep.equal({ path: "nothing", exists: false });
    const list: unknown = await (await ask("GET", "/list/dir")).json();
    expect(list).to.be.an("array").of.length(1);
  });

  it("creates, lists, extends, runs in and ends sandboxes for curl", async () => {
    const post = async (path: string, value: unknown): Promise<[number, Record<string, unknown>]> => {
      const answer = await ask("POST", `/v1/sandboxes${path}`, { body: JSON.stringify(value) });
      const body: unknown = await answer.json();
      return [answer.status, body instanceof Object ? Object.fromEntries(Object.entries(body)) : {}];
    };
    const [created, { id, metadata }] = await post("", { template: "base", metadata: { a: "b" }, life_ms: 1000 });
    expect([created, metadata]).to.deep.equal([201, { a: "b" }]);
    const list = async (query: string): Promise<number> => {
      const body: unknown = await (await ask("GET", `/v1/sandboxes${query}`)).json();
      return body instanceof Object && "sandboxes" in body && Array.isArray(body.sandboxes)
        ? body.sandboxes.length
        : -1;
    };
    expect(await list("")).to.equal(2);
    expect(await list("?metadata.a=b")).to.equal(1);
    expect(await list("?metadata.a=c")).to.equal(0);
    expect(await list("?state=paused,ended")).to.equal(0);
    expect(await list("?page_size=1")).to.equal(1);
    const path = `/${String(id)}`;
    const [, ran] = await post(`${path}/run`, { command: "cat; echo err >&2; exit 5", stdin: "in" });
    expect(ran).to.deep.equal({ exit_code: 5, signal: 0, timed_out: false, stdout: "in", stderr: "err\n" });
    const [, late] = await post(`${path}/run`, { args: ["sleep", "100"], limit_ms: 50 });
    expect(late).to.deep.include({ exit_code: 137, signal: 9, timed_out: true });
    expect((await post(`${path}/extend`, { life_ms: 5000 }))[0]).to.equal(200);
    expect((await post("", { template: "base", wrong: 1 }))[0], "unknown member").to.equal(400);
    expect((await post("", { template: "no-such" }))[0]).to.equal(404);
    expect((await post(`${path}/run`, { command: "true", args: ["true"] }))[0]).to.equal(400);
    expect((await ask("DELETE", `/v1/sandboxes${path}`)).status).to.equal(204);
    expect((await ask("GET", `/v1/sandboxes${path}`)).status).to.equal(404);
    expect((await ask("PATCH", "/v1/sandboxes")).status).to.equal(501);
  });

  it("is healthy until the daemon stops", async () => {
    const health = async (): Promise<[number, unknown]> => {
      const answer = await ask("GET", "/v1/health");
      const body: unknown = await answer.json();
      expect(body).to.have.property("uptime_seconds").that.is.a("number");
      return [answer.status, body instanceof Object && "status" in body ? body.status : undefined];
    };
    expect(await health()).to.deep.equal([200, "ok"]);
    stopping.abort();
    expect(await health()).to.deep.equal([503, "stopping"]);
  });
});
