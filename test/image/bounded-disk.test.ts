import { expect } from "chai";
import { mkdir, mkdtemp, readdir, realpath, rm, stat, statfs, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { neverAborted } from "../../src/base/signals.js";
import type { Image, ImageStore, WritableSnapshot } from "../../src/image/image-store.js";
import { inodesOf } from "../../src/image/snapshot/disk/bound.js";
import { loadNative } from "../../src/native/addon.js";
import { fill, fillInodes, loopFiles, mib, mountsIn, storeIn } from "../support/bounded-disks.js";
import { openTestStore } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { eventually } from "../support/wait.js";

const { native } = loadNative(join(projectDirectory, "build/assets"));
const sizeMib = 32;

describe("a container's disk that is a file", () => {
  let directory: string;
  let store: ImageStore;
  let image: Image;
  before(async () => {
    directory = await realpath(await mkdtemp(join(tmpdir(), "a3s-disk-")));
    ({ store, image } = await storeIn(directory));
  });
  after(async () => {
    await store.close();
    await rm(directory, { recursive: true });
  });
  afterEach(async () => {
    for (const key of await store.listSnapshots()) await store.removeSnapshot(key, neverAborted);
    await nothingLeft();
  });

  const prepare = async (key: string, declared: readonly string[] = [], size = sizeMib): Promise<WritableSnapshot> =>
    await store.prepareSnapshot(key, image, neverAborted, {
      declared,
      bound: { bytes: BigInt(size * mib), by: "file" },
    });

  const nothingLeft = async (): Promise<void> => {
    await eventually(
      "no loop device is left",
      10_000,
      async () => (await loopFiles(directory)).length === 0 || undefined,
    );
    expect(await mountsIn(directory)).to.deep.equal([]);
    expect(await readdir(join(directory, "images/trash"))).to.deep.equal([]);
  };

  /** As a Box mounts it, by who has few rights; its map is one that this process is in. */
  const overlay = async (snapshot: WritableSnapshot): Promise<string> => {
    const target = await mkdtemp(join(directory, "root-"));
    const ids = { extents: [{ inside: 0, outside: 0, count: 2_000_000_000 }] };
    const flags = { readonly: false, nosuid: true, nodev: true };
    const { lowers, upper, work } = snapshot;
    const mount = { lowers, upper, work, target, flags, index: true, ids, mapsUpper: true, apart: true };
    await native.mountOverlay(mount);
    return target;
  };

  it("takes what it has room for and no more, volumes of the image with it, and leaves others theirs", async () => {
    const [one, two] = [await prepare("c1", ["/data"]), await prepare("c2")];
    expect(await native.treeUsage(one.measured)).to.have.property("inodes", 1n);
    const { errno, mib: written } = await fill(one.upper, 2 * sizeMib);
    expect([errno, written]).to.deep.equal(["ENOSPC", written]);
    expect(written).to.be.within(sizeMib / 2, sizeMib - 1);
    expect((await fill(one.declared[0] ?? "", 2)).errno).to.equal("ENOSPC");
    expect((await fill(two.upper, 4)).errno).to.equal("none");
    const { bsize, blocks, bfree } = await statfs(one.upper);
    expect(blocks * bsize).to.be.within((sizeMib - 4) * mib, sizeMib * mib);
    expect(bfree * bsize).to.be.below(mib);
  });

  it("holds so many files, too", async () => {
    const { upper } = await prepare("c1", [], 16);
    const most = Number(inodesOf(BigInt(16 * mib)));
    const { errno, files } = await fillInodes(upper, most + 1);
    expect([errno, files]).to.deep.equal(["ENOSPC", files]);
    expect(files).to.be.within(most - 100, most);
  });

  it("gives back to the host what is deleted in it", async () => {
    const { upper, measured } = await prepare("c1");
    const takenMib = async (): Promise<number> => ((await stat(measured)).blocks * 512) / mib;
    await writeFile(join(upper, "large"), Buffer.alloc(20 * mib, 7), { flush: true });
    expect(await takenMib()).to.be.within(20, 22);
    await unlink(join(upper, "large"));
    await eventually("its blocks are the host's again", 10_000, async () =>
      (await takenMib()) < 2 ? true : undefined,
    );
  });

  it("is seen by nobody but who has mounted it once it is shared, and goes with the last mount", async () => {
    const snapshot = await prepare("c1");
    const target = await overlay(snapshot);
    await store.detachSnapshot("c1");
    await store.detachSnapshot("c1");
    expect(await readdir(join(directory, "images/containers/c1/disk"))).to.deep.equal([]);
    expect(await mountsIn(directory)).to.deep.equal([target]);
    expect((await fill(target, 2 * sizeMib)).errno).to.equal("ENOSPC");
    expect(await loopFiles(directory)).to.have.length(1);
    // Before who serves it has ended, as where a Box is slow to.
    await store.removeSnapshot("c1", neverAborted);
    expect(await store.listSnapshots()).to.deep.equal([]);
    await native.unmount(target, true);
  });

  it("has an overlay whose files are told from those of the image by their numbers", async () => {
    const target = await overlay(await prepare("c1"));
    const before = await stat(join(target, "etc/passwd"), { bigint: true });
    await writeFile(join(target, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    await writeFile(join(target, "new"), "");
    const copied = await stat(join(target, "etc/passwd"), { bigint: true });
    const made = await stat(join(target, "new"), { bigint: true });
    expect([copied.dev, copied.ino]).to.deep.equal([before.dev, before.ino]);
    expect(made.dev).to.equal(before.dev);
    expect(made.ino >> 32n, "the layer is in the number").to.not.equal(before.ino >> 32n);
    await native.unmount(target, true);
  });

  it("is made by many at a time, each with a device of its own", async () => {
    const keys = Array.from({ length: 12 }, (_, at) => `c${String(at)}`);
    const made = await Promise.all(keys.map((key) => prepare(key)));
    expect(await loopFiles(directory)).to.have.length(12);
    await Promise.all(made.map(({ upper }, at) => writeFile(join(upper, `of-${String(at)}`), "")));
    for (const [at, { upper }] of made.entries()) expect(await readdir(upper)).to.deep.equal([`of-${String(at)}`]);
    await Promise.all(keys.map((key) => store.removeSnapshot(key, neverAborted)));
  });

  it("is taken away by the next process where one died while it made it", async () => {
    await prepare("c1");
    const half = join(directory, "images/trash/of-a-dead-process/container-1");
    await mkdir(join(half, "disk"), { recursive: true });
    await native.mountTmpfs(join(half, "disk"), mib, 0o700);
    const next = await openTestStore(join(directory, "images"));
    try {
      expect(await readdir(join(directory, "images/trash"))).to.deep.equal([]);
      expect(await next.listSnapshots()).to.deep.equal(["c1"]);
      await next.removeSnapshot("c1", neverAborted);
      await nothingLeft();
    } finally {
      await next.close();
    }
  });

  it("is not written to the host's disk when nobody wants it any more, and its user is told", async () => {
    const { upper, measured } = await prepare("c1");
    const target = await overlay(await prepare("c2"));
    await writeFile(join(target, "kept"), "");
    await fill(upper, 20);
    await store.abandonSnapshot("c1");
    await store.abandonSnapshot("c1");
    await store.abandonSnapshot("never");
    const thrown = await writeFile(join(upper, "more"), "").catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "EIO");
    await store.detachSnapshot("c1");
    await eventually("its device is free", 10_000, async () => (await loopFiles(directory)).length === 1 || undefined);
    expect(((await stat(measured)).blocks * 512) / mib).to.be.below(20);
    expect(await readdir(target)).to.include("kept");
    await native.unmount(target, true);
  });

  it("is refused, and leaves nothing, where it can't be mounted", async () => {
    const without = { ...native, mountFileDisk: () => Promise.reject(new Error("ENOENT: open /dev/loop-control")) };
    const other = await openTestStore(join(directory, "images"), { native: without });
    try {
      const bound = { bytes: BigInt(sizeMib * mib), by: "auto" } as const;
      const thrown = await other.prepareSnapshot("c1", image, neverAborted, { bound }).catch((e: unknown) => e);
      expect(thrown).to.have.property("code", "failedPrecondition");
      expect(thrown)
        .to.have.property("message")
        .that.matches(/loop-control.*modprobe loop/);
      expect(await other.listSnapshots()).to.deep.equal([]);
    } finally {
      await other.close();
    }
  });
});
