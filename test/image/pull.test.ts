import { expect } from "chai";
import { join } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import { pushArtifact, pushImage, pushIndex, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";
import { makeTestStore, run, type TestStore } from "../support/image-store.js";

const signal = new AbortController().signal;
const base = buildLayer([
  { name: "./", type: "directory", mode: 0o751, uid: 7 },
  { name: "etc/", type: "directory" },
  { name: "etc/passwd", content: "root:x:0:0\n" },
  { name: "etc/link", type: "symlink", link: "../etc/passwd" },
]);
const top = buildLayer([{ name: "etc/.wh.passwd" }, { name: "etc/group", content: "root:x:0:\n" }], "none");

describe("pulling from a real registry", () => {
  let registry: TestRegistry;
  let test: TestStore;

  before(async () => {
    registry = await startRegistry();
  });
  after(async () => {
    await registry.stop();
  });
  beforeEach(async () => {
    test = await makeTestStore();
  });
  afterEach(async () => {
    await test.close();
  });

  for (const docker of [false, true]) {
    const kind = docker ? "Docker" : "OCI";

    it(`brings in an image of ${kind} types, which skopeo reads from the store`, async () => {
      const pushed = await pushImage(registry.host, "team/app", "v1", {
        layers: [base, top],
        docker,
        config: { Cmd: ["/run"], Env: ["A=b"], User: "5" },
      });
      const image = await test.store.pull(pushed.reference, undefined, signal);
      expect(image).to.deep.include({
        id: pushed.configDigest,
        repoTags: [pushed.reference],
        repoDigests: [`${registry.host}/team/app@${pushed.digest}`],
        pinned: false,
      });
      expect(await test.store.config(image)).to.deep.include({
        cmd: ["/run"],
        env: ["A=b"],
        user: "5",
        platform: "linux/amd64",
      });
      expect(Number(image.sizeBytes)).to.be.greaterThan(base.bytes.length + top.bytes.length);
      const copy = join(test.directory, "..", "copy.tar");
      const said = await run("skopeo", [
        "copy",
        `oci:${test.directory}:${pushed.reference}`,
        `docker-archive:${copy}:a:b`,
      ]);
      expect(said).to.include("Writing manifest");
    });

    it(`chooses this machine's image of an ${kind} index and knows it by the index's digest`, async () => {
      const pushed = await pushIndex(registry.host, "team/multi", "v1", [
        { layers: [top], architecture: "arm64", docker },
        { layers: [base], docker },
      ]);
      const image = await test.store.pull(pushed.reference, undefined, signal);
      expect(image.id).to.equal(pushed.configDigest);
      const byDigest = `${registry.host}/team/multi@${pushed.digest}`;
      expect(image.repoDigests).to.deep.equal([byDigest]);
      expect((await test.store.find(byDigest))?.id).to.equal(image.id);
    });
  }

  it("refuses an OCI artifact by its type, says what can be mounted, and keeps nothing of it", async () => {
    const reference = await pushArtifact(registry.host, "team/model", "v1", { "model.bin": "weights" });
    const failure: unknown = await test.store.pull(reference, undefined, signal).catch((thrown: unknown) => thrown);
    expect(failure)
      .to.be.instanceOf(RuntimeError)
      .with.property("message")
      .that.matches(/team\/model:v1.*artifact of the type "application\/vnd\.example\+type" is not an image.*volumes/);
    expect(failure).to.have.property("code", "unimplemented");
    expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
    expect(await test.leftovers()).to.deep.equal([]);
  });

  it("finds an image in every form that kubelet asks for", async () => {
    const pushed = await pushImage(registry.host, "team/app", "latest", { layers: [base] });
    await test.store.pull(`${registry.host}/team/app`, undefined, signal);
    const hex = pushed.configDigest.slice("sha256:".length);
    const name = `${registry.host}/team/app`;
    const forms = [name, `${name}:latest`, `${name}@${pushed.digest}`, `${name}:x@${pushed.digest}`];
    for (const form of [...forms, pushed.configDigest, hex, hex.slice(0, 12)]) {
      expect((await test.store.find(form))?.id, form).to.equal(pushed.configDigest);
    }
    for (const form of [`${name}:other`, "team/app", hex.slice(0, 11), "", "A B", `sha256:${"0".repeat(64)}`]) {
      expect(await test.store.find(form), form).to.equal(undefined);
    }
  });

  it("pulls by digest, and gives the image no tag", async () => {
    const pushed = await pushImage(registry.host, "team/app", "v1", { layers: [base] });
    const image = await test.store.pull(`${registry.host}/team/app:v1@${pushed.digest}`, undefined, signal);
    expect(image.repoTags).to.deep.equal([]);
    expect(image.repoDigests).to.deep.equal([`${registry.host}/team/app@${pushed.digest}`]);
  });

  it("shares layers between images, and a pull between its callers", async () => {
    const one = await pushImage(registry.host, "team/one", "v1", { layers: [base], config: { Cmd: ["1"] } });
    const two = await pushImage(registry.host, "team/two", "v1", { layers: [base, top] });
    await Promise.all([one, one, two, two].map(({ reference }) => test.store.pull(reference, undefined, signal)));
    expect(await test.store.list()).to.have.length(2);
    expect((await test.contents()).layers).to.have.length(2);
    expect(await test.leftovers()).to.deep.equal([]);
  });

  it("tells of its layers, and of every byte that comes", async () => {
    const pushed = await pushImage(registry.host, "team/watched", "v1", { layers: [base, top] });
    const planned: string[] = [];
    const received = new Map<string, number>();
    await test.store.pull(pushed.reference, undefined, signal, {
      planned: (layers) => planned.push(...layers.map(({ digest, sizeBytes }) => `${digest} ${sizeBytes}`)),
      received: (digest, bytes) => received.set(digest, (received.get(digest) ?? 0) + bytes),
    });
    expect(planned).to.deep.equal([base, top].map(({ digest, bytes }) => `${digest} ${bytes.length}`));
    for (const { digest, bytes } of [base, top]) expect(received.get(digest)).to.equal(bytes.length);
  });

  it("keeps the old image when a tag moves, known by its digest", async () => {
    const before = await pushImage(registry.host, "team/move", "v1", { layers: [base] });
    await test.store.pull(before.reference, undefined, signal);
    const after = await pushImage(registry.host, "team/move", "v1", { layers: [base, top] });
    await test.store.pull(after.reference, undefined, signal);
    expect((await test.store.find(after.reference))?.id).to.equal(after.configDigest);
    expect(await test.store.find(before.configDigest)).to.deep.include({ repoTags: [] });
    expect((await test.store.find(before.configDigest))?.repoDigests).to.have.length(1);
  });

  it("takes an image without layers", async () => {
    const pushed = await pushImage(registry.host, "team/empty", "v1", { layers: [] });
    const image = await test.store.pull(pushed.reference, undefined, signal);
    expect(image.chainIds).to.deep.equal([]);
    expect(await test.store.readFile(image, "/etc/passwd")).to.equal(null);
    const snapshot = await test.store.prepareSnapshot("c1", image, signal);
    expect(snapshot.lowers).to.have.length(1);
  });

  it("reads files as a container would see them: whiteouts, links, bounds", async () => {
    const etc = buildLayer([
      { name: "etc/", type: "directory" },
      { name: "etc/.wh..wh..opq" },
      { name: "etc/abs", type: "symlink", link: "/data/../../data/file" },
      { name: "etc/loop", type: "symlink", link: "loop" },
      { name: "data/file", content: "found" },
      { name: "data/big", content: Buffer.alloc(1024 * 1024 + 1) },
    ]);
    const plain = await pushImage(registry.host, "team/files", "v1", { layers: [base, top] });
    const opaque = await pushImage(registry.host, "team/files", "v2", { layers: [base, top, etc] });
    const read = async (reference: string, path: string): Promise<string | null> => {
      const image = await test.store.pull(reference, undefined, signal);
      return (await test.store.readFile(image, path))?.toString() ?? null;
    };
    expect(await read(plain.reference, "/etc/group")).to.equal("root:x:0:\n");
    expect(await read(plain.reference, "etc/passwd")).to.equal(null);
    expect(await read(opaque.reference, "/etc/group")).to.equal(null);
    expect(await read(opaque.reference, "/etc/abs")).to.equal("found");
    expect(await read(opaque.reference, "/../../data/./file")).to.equal("found");
    for (const path of ["/etc/loop", "/data/big", "/etc", "/data/file/x", "/none"]) {
      expect(await read(opaque.reference, path), path).to.equal(null);
    }
  });

  it("says that an image is not there, with the registry and what to check", async () => {
    const reference = `${registry.host}/team/none:v9`;
    const thrown = await test.store.pull(reference, undefined, signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "notFound");
    expect(thrown).to.have.property(
      "message",
      `image "${reference}" not found in registry ${registry.host} (check the name and tag)`,
    );
  });

  it("says that a registry can't be reached, and what to check", async () => {
    const thrown = await test.store.pull("127.0.0.1:1/app:v1", undefined, signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "unavailable");
    expect(thrown)
      .to.have.property("message")
      .that.matches(/^pull 127\.0\.0\.1:1\/app:v1: 127\.0\.0\.1:1 refuses the connection \(check /);
  });

  it("refuses an image that is for other machines", async () => {
    const index = await pushIndex(registry.host, "team/arm", "v1", [{ layers: [base], architecture: "arm64" }]);
    const single = await pushImage(registry.host, "team/arm", "v2", { layers: [base], architecture: "arm64" });
    for (const { reference } of [index, single]) {
      const thrown = await test.store.pull(reference, undefined, signal).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("code", "notFound");
      expect(thrown)
        .to.have.property("message")
        .that.matches(/linux\/arm64/);
    }
    expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
  });
});

describe("a registry that wants a password", () => {
  const credentials = {
    username: "user",
    password: "secret",
    auth: "",
    identityToken: "",
    registryToken: "",
    serverAddress: "",
  };
  const none = { username: "", password: "", auth: "", identityToken: "", registryToken: "", serverAddress: "" };
  let registry: TestRegistry;
  let test: TestStore;

  before(async () => {
    // bcrypt of "secret", as `htpasswd -B` writes it.
    registry = await startRegistry({ htpasswd: "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a" });
    test = await makeTestStore();
  });
  after(async () => {
    await test.close();
    await registry.stop();
  });

  it("gets it in both forms", async () => {
    const authorization = `Basic ${Buffer.from("user:secret").toString("base64")}`;
    const pushed = await pushImage(registry.host, "private/app", "v1", { layers: [base] }, { authorization });
    for (const auth of [credentials, { ...none, auth: Buffer.from("user:secret").toString("base64") }]) {
      expect((await test.store.pull(pushed.reference, auth, signal)).id).to.equal(pushed.configDigest);
    }
  });

  it("is not asked for ever, and the error doesn't show the password", async () => {
    for (const auth of [undefined, { ...credentials, password: "wrong-one" }]) {
      const reference = `${registry.host}/private/app:v1`;
      const thrown = await test.store.pull(reference, auth, signal).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("code", "failedPrecondition");
      expect(thrown).to.have.property("message").that.includes(reference).and.does.not.include("wrong-one");
    }
  });
});
