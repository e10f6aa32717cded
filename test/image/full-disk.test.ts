import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { expect } from "chai";
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageStore } from "../../src/image/image-store.js";
import { makeTestStore, type TestStore } from "../support/image-store.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";

const signal = new AbortController().signal;
const mib = 1024 * 1024;
const small = buildLayer([{ name: "small", content: "small" }]);
/** 9 MiB that become 3 MiB. */
const unpacksLarge = buildLayer([
  { name: "noise", content: randomBytes(3 * mib) },
  { name: "zeros", content: Buffer.alloc(6 * mib) },
]);
const packedLarge = buildLayer([{ name: "noise", content: randomBytes(9 * mib) }], "none");

describe("a full disk", () => {
  let registry: TestRegistry;
  let disk: string;
  let test: TestStore;
  let store: ImageStore;

  before(async () => {
    registry = await startRegistry();
  });
  after(async () => {
    await registry.stop();
  });
  beforeEach(async () => {
    test = await makeTestStore();
    disk = await mkdtemp(join(tmpdir(), "a3s-test-disk-"));
    await test.native.mountTmpfs(disk, 8 * mib, 0o700);
    store = await test.openAgain({ directory: join(disk, "images") });
  });
  afterEach(async () => {
    await store.close();
    await test.close();
    await test.native.unmount(disk, true);
    await rm(disk, { recursive: true });
  });

  const failedPull = async (reference: string): Promise<unknown> =>
    await store.pull(reference, undefined, signal).catch((caught: unknown) => caught);
  const blobs = async (): Promise<number> => Number((await store.imageUsage()).usedBytes);

  it("fails a pull whose tree does not fit, says what it needs and what is free, and takes back what it wrote", async () => {
    const [fits, pushed] = [
      await pushImage(registry.host, "team/small", "v1", { layers: [small] }),
      await pushImage(registry.host, "team/tree", "v1", { layers: [small, unpacksLarge] }),
    ];
    const image = await store.pull(fits.reference, undefined, signal);
    const snapshot = await store.prepareSnapshot("c1", image, signal);
    const before = await blobs();
    const thrown = await failedPull(pushed.reference);
    expect(thrown).to.have.property("code", "resourceExhausted");
    const [, needed, free] = /it needs at least (\d+) bytes, and (\d+) bytes are free in/.exec(String(thrown)) ?? [];
    expect(Number(needed)).to.be.within(12 * mib, 12.1 * mib);
    expect(Number(free)).to.be.within(7 * mib, 8 * mib);
    expect(String(thrown)).to.include(pushed.reference).and.include("remove images");
    expect(await blobs()).to.equal(before);
    // All else goes on.
    await writeFile(join(snapshot.upper, "written"), "by a container");
    expect((await store.pull(fits.reference, undefined, signal)).id).to.equal(image.id);
    expect(String(await store.readFile(image, "/small"))).to.equal("small");
  });

  it("fails a pull that can't fit before it downloads anything", async () => {
    const pushed = await pushImage(registry.host, "team/packed", "v1", { layers: [packedLarge] });
    let received = 0;
    const thrown = await store
      .pull(pushed.reference, undefined, signal, {
        planned: () => undefined,
        received: (digest, bytes) => (received += digest === packedLarge.digest ? bytes : 0),
      })
      .catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "resourceExhausted");
    expect(String(thrown)).to.match(/it needs at least 18\d{6} bytes, and [78]\d{6} bytes are free/);
    expect(received).to.equal(0);
  });

  it("does not keep a store from opening, and from giving space back", async () => {
    const pushed = await pushImage(registry.host, "team/small", "v1", { layers: [small] });
    await store.pull(pushed.reference, undefined, signal);
    await store.close();
    const dead = join(disk, "images", "ingest", "0123456789abcdef");
    await mkdir(dead);
    await writeFile(join(dead, "blob-half"), randomBytes(7 * mib));
    await writeFile(join(disk, "filler"), Buffer.alloc(8 * mib)).catch(() => undefined);
    expect((await stat(join(disk, "filler"))).size).to.be.lessThan(mib);
    store = await test.openAgain({ directory: join(disk, "images") });
    expect((await stat(dead).catch(() => undefined)) === undefined).to.equal(true);
    expect((await store.find(pushed.reference))?.id).to.equal(pushed.configDigest);
    // Not a byte is free, and an image can be removed none the less.
    const filler = createWriteStream(join(disk, "filler"), { flags: "a" });
    const full = once(filler, "error");
    for (let block = 0; block < 9; block += 1) filler.write(Buffer.alloc(mib));
    await full;
    const appended = await appendFile(join(disk, "filler"), Buffer.alloc(4096)).catch((caught: unknown) => caught);
    expect(appended).to.have.property("code", "ENOSPC");
    await store.remove(pushed.reference, signal);
    expect(await store.list()).to.deep.equal([]);
    expect(JSON.parse(await readFile(join(disk, "images", "index.json"), "utf8"))).to.have.deep.property(
      "manifests",
      [],
    );
  });
});
