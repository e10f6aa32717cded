import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { endpointsToTry, parseEndpoint } from "../../../sdk/typescript/src/endpoint.js";
import { InvalidArgumentError, UnavailableError } from "../../../sdk/typescript/src/errors.js";
import { openWire } from "../../../sdk/typescript/src/wire/open.js";
import { tokenSource } from "../../../sdk/typescript/src/wire/token.js";
import { freePort } from "../../support/free-port.js";
import { failure } from "./bed.js";

describe("the SDK's endpoint", () => {
  let scratch: string;
  const servers: Server[] = [];
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-endpoint-"));
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
    await rm(scratch, { recursive: true });
  });

  const serve = async (at: string | number, answer: RequestListener): Promise<Server> => {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((resolve) => {
      if (typeof at === "number") server.listen(at, "127.0.0.1", resolve);
      else server.listen(at, resolve);
    });
    return server;
  };
  const well: RequestListener = (_request, response) => response.end("ok\n");

  it("is a Unix socket, a host and port, TLS or a vsock", () => {
    const parsed = (said: string): unknown => {
      const { shown: _shown, ...rest } = parseEndpoint(said);
      return rest;
    };
    expect(parsed("unix:///run/a b.sock")).to.deep.equal({ kind: "unix", path: "/run/a b.sock" });
    for (const said of ["tcp://box.example:4088", "http://box.example:4088/", "box.example:4088"]) {
      expect(parsed(said)).to.deep.equal({ kind: "tcp", host: "box.example", port: 4088 });
    }
    expect(parsed("[::1]:4088")).to.deep.equal({ kind: "tcp", host: "::1", port: 4088 });
    expect(parsed("https://box.example")).to.deep.equal({ kind: "tls", host: "box.example", port: 443 });
    expect(parsed("https://[fe80::1]:8443/")).to.deep.equal({ kind: "tls", host: "fe80::1", port: 8443 });
    expect(parsed("vsock://2:4088")).to.deep.equal({ kind: "vsock", cid: 2, port: 4088 });
  });

  it("is refused where it is anything else, with the forms there are", () => {
    const wrong = ["unix://relative", "unix://", "tcp://host", "host", "host:0", "host:65536", "ftp://host:1", ":4088"];
    for (const said of [...wrong, "https://user@host", "https://host/path", "vsock://x:1", "vsock://1", "a b:1", ""]) {
      expect(() => parseEndpoint(said), said)
        .to.throw(InvalidArgumentError)
        .with.property("message")
        .that.contains("unix:///var/run/a3s/a3s-box.sock");
    }
  });

  it("is the option, else the variable, else what is looked for: the socket before the port", async () => {
    const usual = { socket: join(scratch, "s"), port: "tcp://127.0.0.1:4088" };
    const tried = (said: string | undefined, env: Record<string, string>): string[] =>
      endpointsToTry(said, env, usual).endpoints.map(({ shown }) => shown);
    const env = { A3S_BOX_ENDPOINT: "unix:///of/env" };
    expect(tried("unix:///said", env)).to.deep.equal(["unix:///said"]);
    expect(tried("", env)).to.deep.equal(["unix:///of/env"]);
    expect(tried(undefined, { A3S_BOX_ENDPOINT: "" })).to.deep.equal([usual.port]);
    await writeFile(usual.socket, "no socket");
    expect(tried(undefined, {})).to.deep.equal([usual.port]);
    await rm(usual.socket);
    await serve(usual.socket, well);
    expect(tried(undefined, {})).to.deep.equal([`unix://${usual.socket}`, usual.port]);
  });

  it("is the port where the socket is one that a dead runtime has left", async () => {
    const port = await freePort();
    const usual = { socket: join(scratch, "s"), port: `tcp://127.0.0.1:${port}` };
    const left = await serve(`${usual.socket}.live`, well);
    // Under another name than the one that it takes along when it ends.
    await rename(`${usual.socket}.live`, usual.socket);
    await new Promise((resolve) => left.close(resolve));
    expect(endpointsToTry(undefined, {}, usual).endpoints.length).to.equal(2);
    await serve(port, well);
    const { endpoint, wire } = await openWire({ protocol: "http" }, {}, usual);
    wire.close();
    expect(endpoint.shown).to.equal(usual.port);
  });

  it("that nobody serves is an error which says what was tried, and what to do", async () => {
    const usual = { socket: join(scratch, "none"), port: `tcp://127.0.0.1:${await freePort()}` };
    const error = await failure(openWire({}, {}, usual));
    expect(error).to.be.instanceOf(UnavailableError).with.property("code", "unavailable");
    expect(String(error))
      .to.contain(`unix://${usual.socket}: there is no such socket`)
      .and.contain(`${usual.port}: connect ECONNREFUSED`)
      .and.contain("serve --sandboxes")
      .and.contain("A3S_BOX_ENDPOINT");
  });

  it("of a vsock that no helper reaches says what a helper is", async () => {
    const error = await failure(openWire({ endpoint: "vsock://2:4088", vsockHelper: ["/no/such/helper"] }, {}));
    expect(String(error))
      .to.contain("Node can't dial a vsock")
      .and.contain("/no/such/helper")
      .and.contain("vsockHelper");
  });

  it("has its token from the option, the file as it is now, or the variable", async () => {
    const file = join(scratch, "token");
    await writeFile(file, "of the file\n");
    const env = { A3S_BOX_TOKEN: "of the variable", A3S_BOX_TOKEN_FILE: file };
    expect(await tokenSource({ token: "said" }, env)()).to.equal("said");
    expect(await tokenSource({ apiKey: "of E2B's name" }, env)()).to.equal("of E2B's name");
    expect(await tokenSource({}, env)()).to.equal("of the file");
    expect(await tokenSource({}, { A3S_BOX_TOKEN: "of the variable" })()).to.equal("of the variable");
    expect(await tokenSource({}, {})()).to.equal(undefined);
    expect(String(await failure(tokenSource({}, { A3S_BOX_TOKEN_FILE: "/none" })()))).to.contain("/none");
  });
});
