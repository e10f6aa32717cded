import { expect } from "chai";
import { mkdir, readFile, readdir, readlink, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createLogger } from "../../src/base/log.js";
import { writersLock } from "../../src/image/content/ingest.js";
import type { ImageStore } from "../../src/image/image-store.js";
import { listTree, makeTestStore, run, type TestStore } from "../support/image-store.js";
import { describeImage, pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer, buildTar, sha256, type BuiltLayer } from "../support/tar-builder.js";
import { eventually } from "../support/wait.js";

const signal = new AbortController().signal;
const base = buildLayer([
  { name: "etc/", type: "directory" },
  { name: "etc/base", content: "base" },
]);
const top = buildLayer([{ name: "top", content: "top" }]);

describe("the image store", () => {
  let registry: TestRegistry;
  let test: TestStore;
  let store: ImageStore;
  let one: Awaited<ReturnType<typeof pushImage>>;
  let two: Awaited<ReturnType<typeof pushImage>>;

  before(async () => {
    registry = await startRegistry();
    one = await pushImage(registry.host, "team/one", "v1", { layers: [base] });
    two = await pushImage(registry.host, "team/two", "v1", { layers: [base, top] });
  });
  after(async () => {
    await registry.stop();
  });
  beforeEach(async () => {
    test = await makeTestStore();
    ({ store } = test);
  });
  afterEach(async () => {
    await test.close();
  });

  const pull = async (pushed: { reference: string }): ReturnType<ImageStore["pull"]> =>
    await store.pull(pushed.reference, undefined, signal);

  describe("removing", () => {
    it("takes an image with all its names, and only what no other image needs", async () => {
      await pull(one);
      const image = await pull(two);
      await store.remove(image.id, signal);
      expect(await store.find(two.reference)).to.equal(undefined);
      expect((await store.list()).map(({ id }) => id)).to.deep.equal([one.configDigest]);
      expect((await test.contents()).layers).to.have.length(1);
      await store.remove(one.reference, signal);
      expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
      await eventually("nothing is left", 10_000, async () => (await test.leftovers()).length === 0 || undefined);
    });

    it("succeeds for what is not there, twice, and for several at a time", async () => {
      await pull(one);
      await store.remove("no/such:image", signal);
      await store.remove("NOT A NAME", signal);
      await Promise.all([one.reference, one.configDigest, one.reference].map((name) => store.remove(name, signal)));
      expect(await store.list()).to.deep.equal([]);
    });

    it("takes an image by name whose content is damaged; until then nothing is swept", async () => {
      const image = await pull(one);
      await pull(two);
      const config = join(test.directory, "blobs", "sha256", image.id.slice("sha256:".length));
      await writeFile(config, "damaged");
      const other = await test.openAgain({ log: createLogger("error") });
      expect(await other.find(one.reference)).to.equal(undefined);
      expect((await other.find(two.reference))?.id).to.equal(two.configDigest);
      await other.remove(two.reference, signal);
      expect((await test.contents()).layers).to.have.length(2);
      await other.remove(one.reference, signal);
      await other.remove(`${registry.host}/team/one@${one.digest}`, signal);
      expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
      await other.close();
    });

    it("leaves the layers that a container stands on until its tree goes too", async () => {
      const image = await pull(two);
      const snapshot = await store.prepareSnapshot("c1", image, signal);
      await store.remove(two.reference, signal);
      expect(await store.list()).to.deep.equal([]);
      for (const lower of snapshot.lowers) expect((await stat(lower)).isDirectory()).to.equal(true);
      expect((await test.contents()).blobs).to.deep.equal([]);
      await store.removeSnapshot("c1", signal);
      expect((await test.contents()).layers).to.deep.equal([]);
    });

    it("leaves the layers of an image that a container has mounted, too", async () => {
      const [own, volume] = [await pull(one), await pull(two)];
      const { volumeLowers } = await store.prepareSnapshot("c1", own, signal, { volumes: [volume, own] });
      expect(volumeLowers.map((lowers) => lowers.length)).to.deep.equal([2, 2]);
      expect(Object.fromEntries(await store.inUse())).to.deep.equal({ [own.id]: ["c1"], [volume.id]: ["c1"] });
      await store.remove(two.reference, signal);
      expect(await readFile(join(volumeLowers[0]?.[0] ?? "", "top"), "utf8")).to.equal("top");
      await store.removeSnapshot("c1", signal);
      expect((await test.contents()).layers).to.have.length(1);
    });

    it("makes the directories that an image wants as volumes, with what it has there, and removes them with the rest", async () => {
      const lower = buildLayer([
        { name: "data/", type: "directory", mode: 0o2750, uid: 7, gid: 8 },
        { name: "data/kept", content: "kept", mode: 0o604, uid: 9 },
        { name: "data/gone", content: "gone" },
        { name: "data/link", type: "symlink", link: "/etc/shadow" },
        { name: "to-data", type: "symlink", link: "/data" },
        { name: "outside", type: "symlink", link: "../../../../../../../etc" },
        { name: "file", content: "no directory" },
      ]);
      const upper = buildLayer([{ name: "data/.wh.gone", content: "" }]);
      const pushed = await pushImage(registry.host, "team/volumes", "1", { layers: [lower, upper] });
      const image = await pull(pushed);
      const paths = ["/data", "/to-data", "/not/there", "/outside", "/file"];
      const { declared } = await store.prepareSnapshot("c1", image, signal, { declared: paths });
      const [data = "", linked = "", ...others] = declared;
      for (const directory of [data, linked]) {
        expect((await readdir(directory)).sort()).to.deep.equal(["kept", "link"]);
        const { mode, uid, gid } = await stat(directory);
        expect([mode & 0o7777, uid, gid]).to.deep.equal([0o2750, 7, 8]);
        const kept = await stat(join(directory, "kept"));
        expect([kept.mode & 0o7777, kept.uid, kept.gid]).to.deep.equal([0o604, 9, 0]);
        expect(await readlink(join(directory, "link"))).to.equal("/etc/shadow");
      }
      for (const directory of others) {
        expect(await readdir(directory)).to.deep.equal([]);
        const { mode, uid, gid } = await stat(directory);
        expect([mode & 0o7777, uid, gid]).to.deep.equal([0o755, 0, 0]);
      }
      await store.removeSnapshot("c1", signal);
      expect(await stat(data).catch((thrown: unknown) => thrown)).to.have.property("code", "ENOENT");
    });

    it("refuses a pinned image under each of its names, and shows that it is pinned", async () => {
      const pinning = await test.openAgain({ pinned: [one.reference, "not/here:1"] });
      await pull(one);
      await pull(two);
      expect((await pinning.list()).map(({ id, pinned }) => [id, pinned])).to.have.deep.members([
        [one.configDigest, true],
        [two.configDigest, false],
      ]);
      for (const name of [one.reference, one.configDigest, `${registry.host}/team/one@${one.digest}`]) {
        const thrown = await pinning.remove(name, signal).catch((caught: unknown) => caught);
        expect(thrown).to.have.property("code", "failedPrecondition");
        expect(String(thrown)).to.include(`image.pinned names "${one.reference}"`);
      }
      expect((await pinning.find(one.configDigest))?.pinned).to.equal(true);
      expect((await pinning.prune(signal)).map(({ id }) => id)).to.deep.equal([two.configDigest]);
      expect(await pinning.list()).to.have.length(1);
      await pinning.close();
      const thrown = await test.openAgain({ pinned: ["NO:NAME:"] }).catch((caught: unknown) => caught);
      expect(String(thrown)).to.include("image.pinned: ");
    });

    it("prunes what no container uses", async () => {
      const used = await pull(one);
      await pull(two);
      await store.prepareSnapshot("c1", used, signal);
      expect((await store.prune(signal)).map(({ id }) => id)).to.deep.equal([two.configDigest]);
      expect((await store.list()).map(({ id }) => id)).to.deep.equal([used.id]);
      expect((await test.contents()).layers).to.have.length(1);
      expect(await store.prune(signal)).to.deep.equal([]);
    });

    it("sweeps nothing while a container's lease can't be read, and opens all the same", async () => {
      await store.prepareSnapshot("c1", await pull(two), signal);
      await writeFile(join(test.directory, "containers", "c1", "image.json"), "{");
      await store.remove(two.reference, signal);
      const other = await test.openAgain();
      expect((await test.contents()).layers).to.have.length(2);
      await other.removeSnapshot("c1", signal);
      await other.close();
      await (await test.openAgain()).close();
      expect((await test.contents()).layers).to.deep.equal([]);
    });

    it("loses nothing when images are pulled and removed at the same time", async () => {
      for (let round = 0; round < 5; round += 1) {
        await Promise.all([
          pull(two),
          store.remove(one.reference, signal),
          pull(one),
          store.remove(two.configDigest, signal),
        ]);
        for (const image of await store.list()) {
          await store.prepareSnapshot(`r${round}-${image.id.slice(7, 19)}`, image, signal);
          expect(String(await store.readFile(image, "/etc/base"))).to.equal("base");
        }
      }
      for (const key of await store.listSnapshots()) await store.removeSnapshot(key, signal);
      for (const image of await store.list()) await store.remove(image.id, signal);
      expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
    });
  });

  describe("snapshots", () => {
    it("are private to their key, listed, and gone when removed, also twice", async () => {
      const image = await pull(two);
      const [first, second] = [
        await store.prepareSnapshot("c1", image, signal),
        await store.prepareSnapshot("c2", image, signal),
      ];
      expect(first.lowers).to.deep.equal(second.lowers);
      expect(first.upper).to.not.equal(second.upper);
      expect((await store.listSnapshots()).sort()).to.deep.equal(["c1", "c2"]);
      await writeFile(join(first.upper, "written"), Buffer.alloc(1_000_000, 1));
      expect(Number((await store.containerUsage()).usedBytes)).to.be.greaterThan(1_000_000);
      await store.removeSnapshot("c1", signal);
      await store.removeSnapshot("c1", signal);
      expect(await store.listSnapshots()).to.deep.equal(["c2"]);
      expect(Number((await store.containerUsage()).usedBytes)).to.be.lessThan(1_000_000);
      expect(await test.leftovers()).to.deep.equal([]);
    });

    it("are refused for a key in use, a key that is a path, and an image that has gone", async () => {
      const image = await pull(one);
      await store.prepareSnapshot("c1", image, signal);
      for (const [key, code] of [
        ["c1", "alreadyExists"],
        ["../c2", "invalidArgument"],
        ["", "invalidArgument"],
      ] as const) {
        const thrown = await store.prepareSnapshot(key, image, signal).catch((caught: unknown) => caught);
        expect(thrown).to.have.property("code", code);
      }
      await store.remove(image.id, signal);
      const thrown = await store.prepareSnapshot("c3", image, signal).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("code", "notFound");
      expect(await store.listSnapshots()).to.deep.equal(["c1"]);
      await eventually("nothing is left", 10_000, async () => (await test.leftovers()).length === 0 || undefined);
    });

    it("unpack a layer again that was lost", async () => {
      const image = await pull(two);
      for (const layer of await readdir(join(test.directory, "layers"))) {
        await rm(join(test.directory, "layers", layer), { recursive: true, maxRetries: 5 }); // it may be marked now
      }
      const { lowers } = await store.prepareSnapshot("c1", image, signal);
      expect(await readFile(join(lowers[0] ?? "", "top"), "utf8")).to.equal("top");
    });
  });

  describe("opened by several processes", () => {
    it("shows each at once what the other has changed", async () => {
      const other = await test.openAgain();
      await pull(one);
      expect((await other.find(one.reference))?.id).to.equal(one.configDigest);
      await other.remove(one.reference, signal);
      expect(await store.list()).to.deep.equal([]);
      await Promise.all([pull(two), other.pull(one.reference, undefined, signal)]);
      for (const either of [store, other]) expect(await either.list()).to.have.length(2);
      await other.close();
    });

    it("keeps what the other one is bringing in", async () => {
      const other = await test.openAgain();
      const pulls = [pull(two), pull(one)];
      for (let round = 0; round < 10; round += 1) await other.remove(round % 2 === 0 ? "x/y" : one.reference, signal);
      const late = await test.openAgain(); // sweeps as it opens
      await Promise.all(pulls);
      expect(String(await store.readFile(await pull(two), "/top"))).to.equal("top");
      await other.close();
      await late.close();
    });

    it("clears what a process that died has left, and nothing else", async () => {
      await pull(one);
      const before = await test.contents();
      const dead = join(test.directory, "ingest", "0123456789abcdef");
      await mkdir(join(dead, "layer-x", "fs"), { recursive: true });
      await writeFile(join(dead, `hold-blob-${"a".repeat(64)}`), "");
      await writeFile(join(test.directory, "blobs", "sha256", "a".repeat(64)), "half");
      await mkdir(join(test.directory, "layers", "b".repeat(64), "fs"), { recursive: true });
      await mkdir(join(test.directory, "trash", "old", "deep"), { recursive: true });
      const other = await test.openAgain();
      expect(await test.contents()).to.deep.equal(before);
      expect(await test.leftovers()).to.deep.equal([]);
      expect((await other.find(one.reference))?.id).to.equal(one.configDigest);
      await other.close();
    });

    it("keeps what the last writers of a dead process hold, of this version and of one that locked the directory alone", async () => {
      const older = join(test.directory, "ingest", "older");
      const newer = join(test.directory, "ingest", "newer");
      for (const path of [older, newer]) await mkdir(path);
      const held = [await test.native.lockDirectory(older), await test.native.lockFile(join(newer, writersLock), true)];
      await (await test.openAgain()).close();
      expect(await readdir(join(test.directory, "ingest"))).to.include.members(["older", "newer"]);
      for (const lock of held) lock.close();
      await (await test.openAgain()).close();
      expect(await readdir(join(test.directory, "ingest"))).to.have.length(1); // the open store's own
    });

    it("doesn't trust a layer that an earlier boot has not synced", async () => {
      const image = await pull(one);
      await store.close();
      const layer = join(test.directory, "layers", image.chainIds[0]?.slice(7) ?? "");
      await writeFile(
        join(layer, "layer.json"),
        JSON.stringify({ version: 1, bootId: "earlier", opaqueDirectories: [] }),
      );
      await rm(join(layer, "synced"));
      await rm(join(layer, "fs", "etc"), { recursive: true });
      const other = await test.openAgain();
      const { lowers } = await other.prepareSnapshot("c1", image, signal);
      expect(await readFile(join(lowers[0] ?? "", "etc", "base"), "utf8")).to.equal("base");
      await other.close();
    });
  });

  it("says what it takes of the disk", async () => {
    const empty = await store.imageUsage();
    const big = buildLayer([{ name: "big", content: Buffer.alloc(3_000_000, 7) }], "none");
    await pull(await pushImage(registry.host, "team/big", "v1", { layers: [big] }));
    const full = await store.imageUsage();
    expect(full.mountpoint).to.equal(test.directory);
    expect(Number(full.usedBytes - empty.usedBytes)).to.be.within(6_000_000, 6_300_000); // packed and unpacked
    expect(full.inodesUsed > empty.inodesUsed).to.equal(true);
    await store.prepareSnapshot("c1", await pull(two), signal);
    const [images, containers] = [await store.imageUsage(), await store.containerUsage()];
    const du = async (options: string[], path: string): Promise<number> =>
      Number((await run("du", ["-s", "-B1", ...options, path])).split("\t")[0]);
    const ofContainers = join(test.directory, "containers");
    expect(Number(containers.usedBytes)).to.equal(await du([], ofContainers));
    expect(Number(containers.inodesUsed)).to.equal(await du(["--inodes"], ofContainers));
    const leftOut = ["--exclude=containers", "--exclude=empty*", "--exclude=reserve"];
    // Without the directory's own few files.
    expect((await du(leftOut, test.directory)) - Number(images.usedBytes)).to.be.within(0, 40_000);
    expect((await du([...leftOut, "--inodes"], test.directory)) - Number(images.inodesUsed)).to.be.within(0, 6);
  });

  it("has the whole config of an image", async () => {
    const config = { Cmd: ["a"], Volumes: { "/data": {} } };
    const pushed = await pushImage(registry.host, "team/config", "v1", { layers: [base], config });
    const read: unknown = JSON.parse(await store.readConfig(await pull(pushed)));
    expect(read).to.deep.include({ os: "linux", config });
  });

  it("lets nobody but root in, for there are set-uid programs in it", async () => {
    expect((await stat(test.directory)).mode & 0o777).to.equal(0o700);
  });

  describe("importing", () => {
    const archivePath = (): string => join(test.directory, "..", "archive.tar");

    it("takes what skopeo writes, in both forms, with the ids that a pull gives", async () => {
      await pull(two);
      for (const form of ["docker-archive", "oci-archive"]) {
        const copy = join(test.directory, "..", `${form}.tar`);
        await run("skopeo", ["copy", `oci:${test.directory}:${two.reference}`, `${form}:${copy}:team/copy:v1`]);
        const fresh = await makeTestStore();
        const [image] = await fresh.store.importArchive(copy, signal);
        expect(image).to.deep.include({ id: two.configDigest, repoTags: ["docker.io/team/copy:v1"] });
        expect((await fresh.store.find("team/copy:v1"))?.id).to.equal(two.configDigest);
        await fresh.store.prepareSnapshot("c1", image ?? (await pull(two)), signal);
        expect(await fresh.leftovers()).to.deep.equal([]);
        await fresh.close();
      }
    });

    it("takes a gzipped docker save with a layer behind a link, and several names", async () => {
      const path = archivePath();
      await writeFile(path, gzipSync(dockerArchive(["a/b:1", "host:5000/c:2"], [top, top])));
      const [image] = await store.importArchive(path, signal);
      expect(image?.repoTags).to.deep.equal(["docker.io/a/b:1", "host:5000/c:2"]);
      expect(image?.chainIds).to.have.length(2);
      expect(await listTree(join(test.directory, "layers", image?.chainIds[0]?.slice(7) ?? "", "fs"))).to.have.length(
        1,
      );
    });

    it("takes an archive without names, and finds its image by id", async () => {
      await writeFile(archivePath(), dockerArchive(null, [top]));
      const [image] = await store.importArchive(archivePath(), signal);
      expect(image).to.deep.include({ repoTags: [], repoDigests: [] });
      expect((await store.find(image?.id ?? ""))?.id).to.equal(image?.id);
    });

    it("refuses what is no archive of images, says which file, and leaves nothing", async () => {
      const good = dockerArchive(["a:1"], [top]);
      const bad = Buffer.from(good);
      const at = bad.indexOf("top", bad.indexOf("layer.tar") + 512);
      bad[at] = 0x54;
      const cases: readonly (readonly [Buffer, RegExp])[] = [
        [Buffer.from("text"), /not a tar|ends inside/],
        [buildTar([{ name: "file", content: "x" }]), /neither index.json nor manifest.json/],
        [buildTar([{ name: "manifest.json", content: "{" }]), /manifest.json can't be read/],
        [buildTar([{ name: "manifest.json", content: '[{"Config":"c","Layers":[]}]' }]), /has no "c"/],
        [good.subarray(0, good.length / 2), /ends inside|has no/],
        [bad, /as the config says|has the content of|checksum/],
        [buildTar([{ name: `blobs/sha256/${"a".repeat(64)}`, content: "x" }]), /has the content of/],
        [gzipSync(good).subarray(0, 100), /import /],
      ];
      for (const [bytes, says] of cases) {
        await writeFile(archivePath(), bytes);
        const thrown = await store.importArchive(archivePath(), signal).catch((caught: unknown) => caught);
        expect(thrown).to.have.property("code", "invalidArgument");
        expect(thrown).to.have.property("message").that.matches(says).and.includes(archivePath());
        expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
        expect(await test.leftovers()).to.deep.equal([]);
      }
      const thrown = await store.importArchive("/no/such/file", signal).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("code", "invalidArgument");
    });
  });
});

/** As `docker save` before 25: layers as plain tars, an equal one as a link to the first. */
function dockerArchive(names: readonly string[] | null, layers: readonly BuiltLayer[]): Buffer {
  const { config } = describeImage({ layers });
  const hex = sha256(config).slice("sha256:".length);
  const first = layers[0];
  const plain = first === undefined ? Buffer.alloc(0) : buildTar([{ name: "top", content: "top" }]);
  const manifest = [{ Config: `${hex}.json`, RepoTags: names, Layers: layers.map((_, at) => `l${at}/layer.tar`) }];
  return buildTar([
    { name: `${hex}.json`, content: config },
    ...layers.map((_, at) => ({
      name: `l${at}/layer.tar`,
      ...(at === 0 ? { content: plain } : { type: "symlink" as const, link: "../l0/layer.tar" }),
    })),
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ]);
}
