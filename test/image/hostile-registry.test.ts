import { expect } from "chai";
import { describeImage } from "../support/registry.js";
import { send, startHostileRegistry, type HostileRegistry } from "../support/hostile-registry.js";
import { makeTestStore, registryOptions, type TestStore } from "../support/image-store.js";
import { buildLayer, sha256 } from "../support/tar-builder.js";

const signal = new AbortController().signal;
const none = { username: "", password: "", auth: "", identityToken: "", registryToken: "", serverAddress: "" };
const layer = buildLayer([{ name: "file", content: "x".repeat(5000) }]);
const source = { layers: [layer] };
const { manifest, mediaType } = describeImage(source);

describe("a registry that can't be trusted", () => {
  let registry: HostileRegistry;
  let test: TestStore;
  let reference: string;

  before(async () => {
    test = await makeTestStore({ registry: registryOptions({ stallMs: 1000 }) });
  });
  after(async () => {
    await test.close();
  });
  beforeEach(async () => {
    registry = await startHostileRegistry();
    ({ reference } = registry.serve("team/app", "v1", source));
  });
  afterEach(async () => {
    await registry.stop();
    expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
    expect(await test.leftovers()).to.deep.equal([]);
    expect(test.store.list()).to.deep.equal([]);
  });

  async function failure(auth = none): Promise<{ code: unknown; message: string }> {
    const thrown = await test.store.pull(reference, auth, signal).catch((caught: unknown) => caught);
    if (!(thrown instanceof Error) || !("code" in thrown)) throw new Error("the pull has not failed as it should");
    expect(thrown.message).to.include(reference.slice(0, reference.lastIndexOf(":")));
    return { code: thrown.code, message: thrown.message };
  }

  const layerPath = `/blobs/${layer.digest}`;
  const manifestPath = "/manifests/v1";

  it("is caught at a layer of other content", async () => {
    const other = Buffer.from(layer.bytes);
    other[other.length - 1] = (other[other.length - 1] ?? 0) ^ 1;
    registry.answer(layerPath, send(other, "application/octet-stream"));
    const { code, message } = await failure();
    expect(code).to.equal("internal");
    expect(message).to.include(layer.digest).and.include("came for");
  });

  it("is caught at a layer that is shorter than promised", async () => {
    registry.answer(layerPath, send(layer.bytes.subarray(0, 50), "application/octet-stream"));
    const { code, message } = await failure();
    expect(code).to.equal("internal");
    expect(message).to.match(/announces 50 bytes/);
  });

  it("is caught at a layer without end", async () => {
    registry.answer(layerPath, (_request, response) => {
      response.writeHead(200).write(layer.bytes);
      response.end(layer.bytes);
    });
    const { code, message } = await failure();
    expect(code).to.equal("internal");
    expect(message).to.match(/more than the \d+ bytes announced/);
  });

  it("is asked three times for a layer that breaks off, and no more", async () => {
    let times = 0;
    registry.answer(layerPath, (_request, response) => {
      times += 1;
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, 50), () => response.destroy());
    });
    expect(await failure()).to.have.property("code", "unavailable");
    expect(times).to.equal(3);
  });

  it("is given up when it sends nothing for too long", async () => {
    registry.answer(layerPath, (_request, response) => {
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, 50));
    });
    const { code, message } = await failure();
    expect(code).to.equal("unavailable");
    expect(message).to.match(/sent nothing for 1000 ms/);
  });

  it("is caught at a layer that unpacks to something else than the config says", async () => {
    const { reference: lying } = registry.serve("team/app", "v1", {
      layers: [{ ...layer, diffId: sha256("something else") }],
    });
    expect(lying).to.equal(reference);
    const { code, message } = await failure();
    expect(code).to.equal("internal");
    expect(message).to.include(`layer ${layer.digest}`).and.include("as the config says");
  });

  it("is caught at a manifest that is not the digest asked for", async () => {
    reference = `${registry.host}/team/app@${sha256("other")}`;
    registry.answer(`/manifests/${sha256("other")}`, send("{}", "application/vnd.oci.image.manifest.v1+json"));
    const thrown = await test.store.pull(reference, undefined, signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "internal");
    expect(thrown).to.have.property("message").that.includes("came for");
  });

  it("is refused a manifest over 8 MiB", async () => {
    registry.answer(manifestPath, (_request, response) => {
      response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" });
      response.end(Buffer.alloc(8 * 1024 * 1024 + 1, " "));
    });
    expect((await failure()).message).to.match(/more than 8388608 bytes/);
  });

  it("is told from a web server", async () => {
    registry.answer(manifestPath, send("<html>log in</html>", "text/html; charset=utf-8"));
    const { code, message } = await failure();
    expect(code).to.equal("unavailable");
    expect(message).to.match(/sends a web page/);
  });

  it("is not followed in circles", async () => {
    registry.answer(layerPath, (request, response) => {
      response.writeHead(307, { location: request.url ?? "" }).end();
    });
    expect((await failure()).message).to.match(/redirects more than 5 times/);
  });

  it("is answered once when it wants a token, however often it says 401", async () => {
    registry.answer("/token", send(JSON.stringify({ token: "t0k" }), "application/json"));
    registry.answer(manifestPath, (_request, response) => {
      const challenge = `Bearer realm="http://${registry.host}/token",service="s"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
    });
    const { code, message } = await failure();
    expect(code).to.equal("failedPrecondition");
    expect(message).to.match(/refuses access \(401\)/);
    expect(registry.requests.map((line) => line.split("?")[0])).to.deep.equal([
      "GET /v2/team/app/manifests/v1 -",
      "GET /token",
      "GET /v2/team/app/manifests/v1 Bearer t0k",
    ]);
    expect(registry.requests[1]).to.include("scope=repository%3Ateam%2Fapp%3Apull").and.include("service=s");
  });

  it("is waited for as long as it says, and given up after four times", async () => {
    let times = 0;
    registry.answer(manifestPath, (_request, response) => {
      times += 1;
      response.writeHead(429, { "retry-after": "0" }).end();
    });
    const { code, message } = await failure();
    expect(code).to.equal("unavailable");
    expect(message).to.match(/limits how often it is asked \(429\)/);
    expect(times).to.equal(4);
  });

  it("leaves nothing of a pull that its caller gives up", async () => {
    const caller = new AbortController();
    registry.answer(layerPath, (_request, response) => {
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, 50));
      caller.abort();
    });
    const thrown = await test.store.pull(reference, undefined, caller.signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "canceled");
  });
});

describe("a registry's redirects and tokens", () => {
  let registry: HostileRegistry;
  let elsewhere: HostileRegistry;
  let test: TestStore;
  const reference = (): string => `${registry.host}/team/app:v1`;
  const layerPath = `/blobs/${layer.digest}`;

  beforeEach(async () => {
    registry = await startHostileRegistry();
    elsewhere = await startHostileRegistry();
    registry.serve("team/app", "v1", source);
    test = await makeTestStore();
  });
  afterEach(async () => {
    await test.close();
    await registry.stop();
    await elsewhere.stop();
  });

  it("are followed to another origin without the credentials", async () => {
    elsewhere.answer("/blob", send(layer.bytes, "application/octet-stream"));
    registry.answer(layerPath, (_request, response) => {
      response.writeHead(307, { location: `http://${elsewhere.host}/blob?signed=1` }).end();
    });
    registry.answer("/manifests/v1", (request, response) => {
      if (request.headers.authorization === "Bearer t0k") send(manifest, mediaType)(request, response);
      else response.writeHead(401, { "www-authenticate": "Bearer realm=x" }).end();
    });
    await test.store.pull(reference(), { ...none, registryToken: "t0k" }, signal);
    expect(
      registry.requests.filter((line) => line.includes("/blobs/")).every((line) => line.endsWith("Bearer t0k")),
    ).to.equal(true);
    expect(elsewhere.requests).to.deep.equal(["GET /blob?signed=1 -"]);
  });

  it("exchange a password, and a refresh token, for a token that serves the whole pull", async () => {
    for (const [auth, asked] of [
      [{ ...none, username: "u", password: "p" }, /^GET \/token\?.* Basic dTpw$/],
      [{ ...none, identityToken: "refresh" }, /^POST \/token -$/],
    ] as const) {
      const fresh = await startHostileRegistry();
      fresh.serve("team/app", "v1", source);
      fresh.answer("/token", send(JSON.stringify({ access_token: "t0k" }), "application/json"));
      fresh.answer("/manifests/v1", (request, response) => {
        if (request.headers.authorization === "Bearer t0k") {
          response.writeHead(307, { location: `/v2/team/app/manifests/${manifestDigest}` }).end();
          return;
        }
        response.writeHead(401, { "www-authenticate": `Bearer realm="http://${fresh.host}/token"` }).end();
      });
      const { manifestDigest } = fresh.serve("team/other", "v1", source);
      const own = await makeTestStore();
      await own.store.pull(`${fresh.host}/team/app:v1`, auth, signal);
      expect(fresh.requests.filter((line) => line.includes("/token"))).to.have.length(1);
      expect(fresh.requests.find((line) => line.includes("/token"))).to.match(asked);
      expect(fresh.requests.at(-1)).to.match(/Bearer t0k$/);
      await own.close();
      await fresh.stop();
    }
  });

  it("survive an answer of 503", async () => {
    let times = 0;
    registry.answer(layerPath, (request, response) => {
      times += 1;
      if (times === 1) response.writeHead(503).end();
      else send(layer.bytes, "application/octet-stream")(request, response);
    });
    expect(await test.store.pull(reference(), undefined, signal)).to.have.property("id");
    expect(times).to.equal(2);
  });
});
