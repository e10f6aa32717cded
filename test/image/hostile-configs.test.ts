/** Images whose configs and manifests are made to be heavy, in the store of an older version: they stop nobody. */
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createLogger } from "../../src/base/log.js";
import { digest, digestHex } from "../../src/base/ids.js";
import { encodeIndexFile, type IndexEntry } from "../../src/image/content/index-file.js";
import { ociConfig, ociManifest } from "../../src/image/content/media-types.js";
import { prepareStoreDirectory, type StoreDirectory } from "../../src/image/content/store-directory.js";
import type { ImageStore } from "../../src/image/image-store.js";
import { openTestStore } from "../support/image-store.js";
import { sha256 } from "../support/tar-builder.js";

const signal = new AbortController().signal;
const mib = 1024 * 1024;
const hostileImages = 28;
/** On two busy cores; before the bounds two such configs took eight seconds. */
const longestBlockMs = 1000;
const servedMs = 10_000;

async function addBlob(directory: StoreDirectory, bytes: Buffer): Promise<{ digest: string; size: number }> {
  const name = sha256(bytes);
  await writeFile(join(directory.blobs, digestHex(digest(name))), bytes);
  return { digest: name, size: bytes.length };
}

/** As a version before the bounds has left it. */
async function addImage(
  directory: StoreDirectory,
  name: string,
  config: Buffer,
  more: object = {},
): Promise<IndexEntry> {
  const described = { mediaType: ociConfig, ...(await addBlob(directory, config)) };
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config: described, layers: [], ...more };
  const blob = await addBlob(directory, Buffer.from(JSON.stringify(manifest)));
  return { mediaType: ociManifest, digest: digest(blob.digest), size: blob.size, name, servedDigest: undefined };
}

const platform = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };

function configOf(members: object): Buffer {
  return Buffer.from(JSON.stringify({ ...platform, id: randomUUID(), config: members, rootfs: { diff_ids: [] } }));
}

/** The same one for each image, but for its id. */
function configsOf(members: object): Buffer[] {
  const [head = "", tail = ""] = configOf({ ...members, marker: "@" })
    .toString()
    .split("@");
  return Array.from({ length: hostileImages }, (_, at) => Buffer.from(head + String(at) + tail));
}

function keys(count: number): object {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`/${at}`, 0]));
}

describe("a store with images whose configs are made to be heavy", function () {
  this.timeout(120_000);
  let top: string;
  let directory: StoreDirectory;
  before(async () => {
    top = await mkdtemp("/dev/shm/a3s-test-heavy-");
    directory = await prepareStoreDirectory(join(top, "images"));
  });
  after(async () => {
    await rm(top, { recursive: true });
  });

  /** Opens the store; how long that took, and for how long nothing else could run. */
  async function opened(): Promise<{ store: ImageStore; log: string; blockMs: number; tookMs: number }> {
    let log = "";
    const logger = createLogger("warn", { write: (line) => void (log += line) });
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const begunMs = performance.now();
    const store = await openTestStore(directory.root, { log: logger });
    const tookMs = performance.now() - begunMs;
    await new Promise((resolve) => setTimeout(resolve, 20)); // what blocked at the end counts too
    delay.disable();
    return { store, log, blockMs: delay.max / 1e6, tookMs };
  }

  it("opens soon, and serves others meanwhile; each of them is named, and the honest one is there", async () => {
    const honest = await addImage(
      directory,
      "registry.example/honest:1",
      configOf({ Cmd: ["/run"], Volumes: keys(3) }),
    );
    const entries = [honest];
    for (const config of configsOf({ Volumes: keys(640_000) })) {
      expect(config.length).to.be.within(7 * mib, 8 * mib);
      entries.push(await addImage(directory, `registry.example/heavy:${entries.length}`, config));
    }
    entries.push(
      await addImage(directory, "registry.example/many:1", configOf({ Volumes: keys(50_000) })),
      await addImage(directory, "registry.example/manifest:1", configOf({}), { annotations: keys(200_000) }),
    );
    const stray = await addBlob(directory, Buffer.from("stray"));
    await writeFile(directory.indexFile, encodeIndexFile(entries));

    const { store, log, blockMs, tookMs } = await opened();
    expect(blockMs).to.be.lessThan(longestBlockMs);
    expect(tookMs).to.be.lessThan(servedMs);
    expect((await store.list()).flatMap(({ repoTags }) => repoTags)).to.deep.equal([honest.name]);
    for (const { name = "" } of entries.slice(1)) expect(log).to.include(`"image":"${name}"`);
    expect(log).to.include("image left out: it breaks a bound of this version").and.include("more than 1048576");
    expect(log).to.include("50000 entries in config.Volumes, more than the 64 that one may have");
    // They keep no sweep from its work, and go by their names.
    const blobs = async (): Promise<string[]> => await readdir(directory.blobs);
    expect(await blobs()).to.not.include(digestHex(digest(stray.digest)));
    for (const { name = "" } of entries.slice(1)) await store.remove(name, signal);
    expect(await blobs()).to.have.length(2);
    await store.close();
  });

  it("opens soon with as many of the largest that are let in, and keeps little of them", async () => {
    const entries: IndexEntry[] = [];
    for (const config of configsOf({ ExposedPorts: keys(78_000), Volumes: keys(64) })) {
      expect(config.length).to.be.within(0.8 * mib, mib);
      entries.push(await addImage(directory, `registry.example/large:${entries.length}`, config));
    }
    await writeFile(directory.indexFile, encodeIndexFile(entries));
    const { store, log, blockMs, tookMs } = await opened();
    expect(blockMs).to.be.lessThan(longestBlockMs);
    expect(tookMs).to.be.lessThan(servedMs);
    const images = await store.list();
    expect(images).to.have.length(hostileImages);
    expect(
      JSON.stringify(images.map(({ sizeBytes, ...rest }) => ({ ...rest, size: Number(sizeBytes) }))),
    ).to.have.length.below(hostileImages * 1000);
    const [first] = images;
    if (first === undefined) throw new Error("no image");
    expect((await store.config(first)).volumes).to.have.length(64);
    expect(log).to.equal("");
    await store.close();
  });
});
