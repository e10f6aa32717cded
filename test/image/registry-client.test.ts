import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { proxyFromEnvironment } from "../../src/base/proxy.js";
import { makeAuthority, type Certificate, type TestAuthority } from "../support/certificates.js";
import { startHostileRegistry } from "../support/hostile-registry.js";
import { startProxy } from "../support/http-proxy.js";
import { authOf, pullFailure, pullFrom } from "../support/registry-pull.js";
import { pushImage, startRegistry, type PushedImage, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";
import { startTokenServer, type TokenServer } from "../support/token-server.js";

const layers = [buildLayer([{ name: "file", content: "x".repeat(100_000) }])];
/** bcrypt of "secret", as `htpasswd -B` writes it. */
const htpasswd = "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
const login = { username: "user", password: "secret" };
const basic = `Basic ${Buffer.from("user:secret").toString("base64")}`;
/** Nobody can look it up: it is reached by hosts.toml or a proxy only. */
const named = "registry.example:5000/team/app:v1";

describe("the registry client with a real registry", () => {
  let authority: TestAuthority;
  let certificate: Certificate;
  let plain: TestRegistry;
  let secure: TestRegistry;
  let pushed: PushedImage;
  let certs: string;
  const stops: (() => Promise<void>)[] = [];

  before(async () => {
    certs = await mkdtemp(join(tmpdir(), "a3s-test-certs-"));
    authority = await makeAuthority();
    certificate = await authority.issue("registry", "IP:127.0.0.1,DNS:registry.example");
    plain = await startRegistry();
    pushed = await pushImage(plain.host, "team/app", "v1", { layers });
    secure = await startRegistry({ data: plain.data, tls: certificate });
  });
  after(async () => {
    await plain.stop();
    await secure.stop();
    await authority.remove();
    await rm(certs, { recursive: true });
  });
  beforeEach(async () => {
    await rm(join(certs, "registry.example_5000_"), { recursive: true, force: true });
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });

  async function started<T extends { stop(): Promise<void> }>(part: Promise<T>): Promise<T> {
    const running = await part;
    stops.push(async () => {
      await running.stop();
    });
    return running;
  }

  /** Writes registry.example:5000's hosts.toml. */
  async function hosts(...lines: string[]): Promise<{ hostsDirs: string[] }> {
    const directory = join(certs, "registry.example_5000_");
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "hosts.toml"), `${lines.join("\n")}\n`);
    return { hostsDirs: [certs] };
  }

  describe("over TLS", () => {
    it("pulls with the authority that hosts.toml names, as text or list", async () => {
      for (const ca of [`"${authority.certFile}"`, `["${authority.certFile}"]`]) {
        const options = await hosts(`server = "https://${secure.host}"`, `ca = ${ca}`);
        expect(await pullFrom(named, options)).to.equal(pushed.digest);
      }
    });

    it("pulls with skip_verify, and says what to do without", async () => {
      const server = `server = "https://${secure.host}"`;
      expect(await pullFrom(named, await hosts(server, "skip_verify = true"))).to.equal(pushed.digest);
      expect(await pullFailure(named, await hosts(server))).to.match(
        /^127\.0\.0\.1:\d+ shows a certificate of an authority that this machine doesn't know \(name its file as `ca` /,
      );
    });

    it("refuses a certificate for other names", async () => {
      const elsewhere = secure.host.replace("127.0.0.1", "localhost");
      const options = await hosts(`server = "https://${elsewhere}"`, `ca = "${authority.certFile}"`);
      expect(await pullFailure(named, options)).to.match(/^localhost:\d+ shows a certificate for other names/);
    });

    it("shows the client certificate that hosts.toml names", async () => {
      const client = await authority.issue("client", "DNS:client.example");
      const options = { data: plain.data, tls: certificate, clientAuthority: authority.certFile };
      const strict = await started(startRegistry(options));
      const lines = [`server = "https://${strict.host}"`, `ca = "${authority.certFile}"`];
      const pair = `client = [["${client.certFile}", "${client.keyFile}"]]`;
      expect(await pullFrom(named, await hosts(...lines, pair))).to.equal(pushed.digest);
      expect(await pullFailure(named, await hosts(...lines))).to.match(
        /^127\.0\.0\.1:\d+ (?:closed the connection without an answer|refuses this client's TLS) \(it may want a client cert/,
      );
    });

    it("finds out by itself what a registry of this machine speaks", async () => {
      expect(await pullFrom(`${secure.host}/team/app:v1`)).to.equal(pushed.digest);
      expect(await pullFrom(`${plain.host}/team/app:v1`)).to.equal(pushed.digest);
    });

    it("says so when the config is wrong about it", async () => {
      expect(await pullFailure(`${secure.host}/team/app:v1`, { plainHttp: [secure.host] })).to.match(
        /wants TLS and was asked without \(take it out of image\.plain_http/,
      );
      const options = await hosts(`server = "https://${plain.host}"`);
      expect(await pullFailure(named, options)).to.match(/doesn't speak TLS \(.*image\.plain_http/);
    });

    it("names the file of a hosts.toml that can't be used, and sees when it is mended", async () => {
      expect(await pullFailure(named, await hosts("server = 5"))).to.match(
        /^server in .*registry\.example_5000_\/hosts\.toml is not allowed/,
      );
      expect(await pullFailure(named, await hosts('ca = "none.pem"'))).to.match(/^ca = ".*\/none\.pem" can't be read/);
      const options = await hosts(`server = "http://${plain.host}"`);
      expect(await pullFrom(named, options)).to.equal(pushed.digest);
    });
  });

  describe("with a password", () => {
    let closed: TestRegistry;
    let reference: string;

    before(async () => {
      closed = await startRegistry({ data: plain.data, htpasswd });
      reference = `${closed.host}/team/app:v1`;
    });
    after(async () => {
      await closed.stop();
    });

    it("takes it from the pull, for this registry only", async () => {
      expect(await pullFrom(reference, { auth: authOf(login) })).to.equal(pushed.digest);
      const auth = Buffer.from("user:secret").toString("base64");
      const serverAddress = `http://${closed.host}/v2/`;
      expect(await pullFrom(reference, { auth: authOf({ auth, serverAddress }) })).to.equal(pushed.digest);
      const other = authOf({ ...login, serverAddress: "other.example" });
      expect(await pullFailure(reference, { auth: other })).to.match(/wants credentials \(401\) \(give credentials/);
    });

    it("takes it from the config, a docker config.json, or a header in hosts.toml", async () => {
      const none = { auth: "", identityToken: "", registryToken: "" };
      expect(await pullFrom(reference, { logins: { [closed.host]: { ...login, ...none } } })).to.equal(pushed.digest);
      const dockerConfig = join(certs, "config.json");
      await writeFile(dockerConfig, JSON.stringify({ auths: { [closed.host]: login } }));
      expect(await pullFrom(reference, { dockerConfig })).to.equal(pushed.digest);
      const mirror = `[host."http://${closed.host}".header]`;
      expect(await pullFrom(named, await hosts(mirror, `Authorization = "${basic}"`))).to.equal(pushed.digest);
    });

    it("is told when it is wrong, without its text", async () => {
      const message = await pullFailure(reference, { auth: authOf({ ...login, password: "wrong-one" }) });
      expect(message)
        .to.match(/refuses access \(401\).*check the credentials/)
        .and.not.include("wrong-one");
    });
  });

  describe("with tokens", () => {
    let tokens: TokenServer;
    let closed: TestRegistry;
    let reference: string;

    before(async () => {
      const signer = await authority.issue("tokens", "DNS:tokens.example");
      tokens = await startTokenServer({ certificate: signer, ...login, refreshToken: "refresh" });
      const trusted = { ...tokens, authority: authority.certFile };
      closed = await startRegistry({ data: plain.data, tokens: trusted });
      reference = `${closed.host}/team/app:v1`;
    });
    after(async () => {
      await closed.stop();
      await tokens.stop();
    });
    beforeEach(() => {
      tokens.endAfter(300);
    });

    it("gets one for a password or a refresh token, and uses it for the whole pull", async () => {
      for (const auth of [authOf(login), authOf({ identityToken: "refresh" })]) {
        const before = tokens.tokens.length;
        expect(await pullFrom(reference, { auth })).to.equal(pushed.digest);
        expect(tokens.tokens.length - before).to.equal(1);
      }
    });

    it("sends a registry token as it is", async () => {
      const before = tokens.tokens.length;
      const auth = authOf({ registryToken: tokens.token("repository:team/app:pull") });
      expect(await pullFrom(reference, { auth })).to.equal(pushed.digest);
      expect(tokens.tokens.length).to.equal(before);
      const other = authOf({ registryToken: tokens.token("repository:team/other:pull") });
      expect(await pullFailure(reference, { auth: other })).to.match(/refuses access \(401\)/);
    });

    it("gets another one when the first ends in the middle of a pull", async () => {
      const before = tokens.tokens.length;
      tokens.endAfter(-58); // the registry allows 60 s of difference between clocks
      const ended = async (): Promise<void> => {
        const headers = { authorization: `Bearer ${tokens.tokens.at(-1) ?? ""}` };
        const url = `http://${closed.host}/v2/team/app/manifests/v1`;
        while ((await fetch(url, { headers })).status !== 401) await delay(100);
        tokens.endAfter(300);
      };
      expect(await pullFrom(reference, { auth: authOf(login), halfway: ended })).to.equal(pushed.digest);
      expect(tokens.tokens.length - before).to.equal(2);
    });

    it("says who refuses wrong credentials", async () => {
      for (const auth of [authOf({ ...login, password: "wrong" }), authOf({ identityToken: "wrong" }), authOf({})]) {
        expect(await pullFailure(reference, { auth })).to.match(/the token server .* refuses the credentials \(401\)/);
      }
    });
  });

  describe("with mirrors", () => {
    it("pulls through one that fetches what it hasn't, and not from the registry", async () => {
      const upstream = await started(startHostileRegistry());
      const mirror = await started(startRegistry({ mirrorOf: `http://${plain.host}` }));
      const lines = [`server = "http://${upstream.host}"`, `[host."http://${mirror.host}"]`];
      expect(await pullFrom(named, await hosts(...lines))).to.equal(pushed.digest);
      expect(upstream.requests).to.deep.equal([]);
    });

    it("asks the next one when one is gone, hasn't the image, or is broken", async () => {
      const without = await started(startHostileRegistry());
      const broken = await started(startHostileRegistry());
      broken.answer("", (_request, response) => response.writeHead(500).end());
      const lines = [
        `server = "http://${plain.host}"`,
        '[host."http://127.0.0.1:1"]',
        `[host."http://${without.host}"]`,
        `[host."http://${broken.host}"]`,
      ];
      expect(await pullFrom(named, await hosts(...lines))).to.equal(pushed.digest);
      // Once, for there are others, and told which registry is meant.
      const manifest = "GET /v2/team/app/manifests/v1?ns=registry.example%3A5000 -";
      expect(without.requests[0]).to.equal(manifest);
      expect(broken.requests.filter((line) => line === manifest)).to.have.length(1);
    });

    it("keeps to what each may do", async () => {
      const mirror = await started(startHostileRegistry());
      const lines = [`server = "http://${plain.host}"`, `[host."http://${mirror.host}"]`, 'capabilities = ["pull"]'];
      expect(await pullFrom(named, await hosts(...lines))).to.equal(pushed.digest);
      expect(mirror.requests.filter((line) => line.includes("/manifests/v1"))).to.deep.equal([]);
      expect(mirror.requests.filter((line) => line.includes("/blobs/"))).to.have.length(2);
      const digest = named.replace(":v1", `@${pushed.digest}`);
      expect(await pullFrom(digest, await hosts(...lines))).to.equal(pushed.digest);
      expect(mirror.requests.some((line) => line.includes(`/manifests/${pushed.digest}`))).to.equal(true);
    });

    it("resolves a tag at a host that may do nothing else", async () => {
      const lines = [`[host."http://${plain.host}"]`, 'capabilities = ["resolve"]'];
      const other = [`[host."http://localhost:${plain.host.split(":")[1] ?? ""}"]`, 'capabilities = ["pull"]'];
      expect(await pullFrom(named, await hosts(...lines, ...other))).to.equal(pushed.digest);
    });

    it("tells what each host has said when none has the image", async () => {
      const lines = [`server = "http://${plain.host}"`, '[host."http://127.0.0.1:1"]'];
      const message = await pullFailure(named.replace("v1", "v9"), await hosts(...lines));
      expect(message)
        .to.match(/^image "registry\.example:5000\/team\/app:v9" not found in registry 127\.0\.0\.1:\d+/)
        .and.match(/before that: 127\.0\.0\.1:1 refuses the connection/);
    });

    it("finds the API where override_path says", async () => {
      const lines = [`[host."http://${plain.host}/v2/team"]`, "override_path = true"];
      const reference = named.replace("team/app", "app");
      expect(await pullFrom(reference, await hosts(...lines))).to.equal(pushed.digest);
    });
  });

  describe("through a proxy", () => {
    const portOf = (registry: TestRegistry): number => Number(registry.host.split(":")[1]);

    it("tunnels TLS, with the proxy's own login", async () => {
      const proxy = await started(startProxy(portOf(secure)));
      const options = await hosts(`ca = "${authority.certFile}"`);
      const proxies = proxyFromEnvironment({ HTTPS_PROXY: `http://me:p%40ss@${proxy.host}` });
      expect(await pullFrom(named, { ...options, proxies })).to.equal(pushed.digest);
      const token = Buffer.from("me:p@ss").toString("base64");
      expect(new Set(proxy.requests)).to.deep.equal(new Set([`CONNECT registry.example:5000 Basic ${token}`]));
    });

    it("sends plain HTTP as it is", async () => {
      const proxy = await started(startProxy(portOf(plain)));
      const proxies = proxyFromEnvironment({ http_proxy: proxy.host });
      expect(await pullFrom(named, { proxies, plainHttp: ["registry.example"] })).to.equal(pushed.digest);
      expect(proxy.requests[0]).to.equal("GET http://registry.example:5000/v2/team/app/manifests/v1 -");
    });

    it("leaves out what NO_PROXY names, and names the proxy that fails", async () => {
      const environment = { HTTPS_PROXY: "http://127.0.0.1:1" };
      const direct = proxyFromEnvironment({ ...environment, NO_PROXY: ".example" });
      expect(await pullFailure(named, { proxies: direct })).to.match(/^registry\.example:5000 (?:is a name|can't be)/);
      const through = proxyFromEnvironment(environment);
      expect(await pullFailure(named, { proxies: through })).to.match(
        /^registry\.example:5000 through the proxy 127\.0\.0\.1:1 refuses the connection/,
      );
    });
  });
});
