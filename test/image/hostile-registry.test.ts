import { expect } from "chai";
import { readdir, readFile } from "node:fs/promises";
import { describeImage } from "../support/registry.js";
import { send, startHostileRegistry, type Answer, type HostileRegistry } from "../support/hostile-registry.js";
import { makeTestStore, registryOptions, type TestStore } from "../support/image-store.js";
import { buildLayer, sha256 } from "../support/tar-builder.js";
import { eventually } from "../support/wait.js";

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
    expect(await test.store.list()).to.deep.equal([]);
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

  it("is given up when it sends a byte now and then, and nothing else, for too long", async () => {
    registry.answer(layerPath, drip(layer.bytes, 50));
    const { code, message } = await failure();
    expect(code).to.equal("unavailable");
    expect(message).to.match(/sent only \d+ bytes in 1000 ms/);
  });

  it("is refused an image with more than 64 volumes, by the image's name and the bound", async () => {
    const Volumes = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`/v${at}`, {}]));
    registry.serve("team/app", "v1", { ...source, config: { Volumes } });
    const { code, message } = await failure();
    expect(code).to.equal("internal");
    expect(message).to.include("the image config has 65 entries in config.Volumes, more than the 64");
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

  it("is refused an answer over 4 MiB for a manifest, and an image's own manifest over 1 MiB", async () => {
    registry.answer(manifestPath, (_request, response) => {
      response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" });
      response.end(Buffer.alloc(4 * 1024 * 1024 + 1, " "));
    });
    expect((await failure()).message).to.match(/more than 4194304 bytes/);
    registry.answer(manifestPath, send(Buffer.concat([manifest, Buffer.alloc(1024 * 1024, " ")]), mediaType));
    expect((await failure()).message).to.match(/the image manifest has \d+ bytes, more than 1048576/);
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

describe("a registry that drips", function () {
  this.timeout(60_000);
  const slow = Array.from({ length: 6 }, (_, at) => buildLayer([{ name: `slow-${at}`, content: "y".repeat(5000) }]));

  it("keeps no other pull waiting by six layers of two images, and each of those returns as soon as it is given up", async () => {
    const registry = await startHostileRegistry();
    const test = await makeTestStore();
    try {
      const caller = new AbortController();
      const dripping = [0, 1].map((image) => {
        const layers = slow.slice(3 * image, 3 * image + 3);
        const { reference } = registry.serve(`team/slow-${image}`, "v1", { layers });
        for (const { digest, bytes } of layers) registry.answer(`/blobs/${digest}`, drip(bytes, 200));
        return test.store.pull(reference, undefined, caller.signal).catch((thrown: unknown) => thrown);
      });
      const asked = (): number => registry.requests.filter((line) => line.includes("/blobs/")).length;
      await eventually("six layers on their way", 20_000, () => Promise.resolve(asked() >= 8 || undefined));
      await eventually("six unpackers", 20_000, async () => (await unpackers()) >= 6 || undefined);

      const begunMs = performance.now();
      const { reference } = registry.serve("team/app", "v1", source);
      await test.store.pull(reference, undefined, AbortSignal.timeout(15_000));
      expect(performance.now() - begunMs).to.be.lessThan(10_000);

      const givenUpMs = performance.now();
      caller.abort();
      for (const thrown of await Promise.all(dripping)) expect(thrown).to.have.property("code", "canceled");
      expect(performance.now() - givenUpMs).to.be.lessThan(1000);
      expect(await unpackers()).to.equal(0);
      // A pull that was given up is answered first, and cleans up after that.
      const nothing = async (): Promise<boolean | undefined> => (await test.leftovers()).length === 0 || undefined;
      await eventually("nothing is left", 10_000, nothing);
    } finally {
      await test.close();
      await registry.stop();
    }
  });

  it("keeps no image waiting that has the same layer from elsewhere", async () => {
    const [dripper, honest] = [await startHostileRegistry(), await startHostileRegistry()];
    const test = await makeTestStore();
    const caller = new AbortController();
    try {
      const { reference: slowly } = dripper.serve("team/slow", "v1", source);
      dripper.answer(`/blobs/${layer.digest}`, drip(layer.bytes, 200));
      const dripping = test.store.pull(slowly, undefined, caller.signal).catch((thrown: unknown) => thrown);
      const isUnderWay = (): boolean => dripper.requests.some((line) => line.includes(layer.digest));
      await eventually("the layer on its way", 20_000, () => Promise.resolve(isUnderWay() || undefined));
      await eventually("its unpacker", 20_000, async () => (await unpackers()) >= 1 || undefined);
      const { reference } = honest.serve("team/app", "v1", source);
      await test.store.pull(reference, undefined, AbortSignal.timeout(10_000));
      caller.abort();
      await dripping;
    } finally {
      caller.abort();
      await test.close();
      await dripper.stop();
      await honest.stop();
    }
  });

  /** Those that this process has started. */
  async function unpackers(): Promise<number> {
    const tasks = await readdir("/proc/self/task");
    const children = await Promise.all(
      tasks.map((task) => readFile(`/proc/self/task/${task}/children`, "utf8").catch(() => "")),
    );
    const pids = children.flatMap((list) => list.trim().split(" ").filter(Boolean));
    const names = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")));
    return names.filter((name) => name.startsWith("a3s-box-unpack")).length;
  }
});

/** A byte, and another one after so long, until the other side has gone. */
function drip(bytes: Uint8Array, everyMs: number): Answer {
  return (_request, response) => {
    response.writeHead(200, { "content-length": bytes.length });
    let at = 0;
    const timer = setInterval(() => response.write(bytes.subarray(at, (at += 1))), everyMs);
    response.once("close", () => {
      clearInterval(timer);
    });
  };
}

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

  it("show nothing of what a service elsewhere answers but its status; what the registry itself says is shown", async () => {
    const secret = JSON.stringify({ message: "the key is swordfish" });
    const failure = async (): Promise<string> =>
      String(await test.store.pull(reference(), undefined, signal).catch((caught: unknown) => caught));
    for (const status of [400, 401, 403, 429, 500]) {
      elsewhere.answer("/internal", (_request, response) => {
        const headers = { "content-type": "application/json", "retry-after": "900" };
        response.writeHead(status, headers).end(secret);
      });
      for (const path of [layerPath, "/manifests/v1"]) {
        registry.answer(path, (_request, response) => {
          response.writeHead(307, { location: `http://${elsewhere.host}/internal` }).end();
        });
        const message = await failure();
        expect(message).to.include(String(status)).and.include(elsewhere.host);
        expect(message).to.not.include("swordfish");
      }
    }
    registry.answer("/manifests/v1", send(secret, "application/json", 403));
    expect(await failure())
      .to.include("403")
      .and.include("swordfish");
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
