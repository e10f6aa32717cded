/** An image is gone when its removal has been answered, and its space soon after. */
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/base/log.js";
import type { Image, ImageStore } from "../../src/image/image-store.js";
import type { Native } from "../../src/native/addon.js";
import { makeTestStore, type TestStore } from "../support/image-store.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";
import { eventually } from "../support/wait.js";

const signal = new AbortController().signal;
const mib = 1024 * 1024;
const layer = buildLayer([{ name: "noise", content: randomBytes(2 * mib) }], "none");

/** The disk that frees nothing until it is let, and fails as often as it is told to. */
class SlowDisk {
  failures = 0;
  readonly #native: Native;
  readonly #waiting: (() => void)[] = [];
  #isHeld = false;

  constructor(native: Native) {
    this.#native = native;
  }

  get native(): Native {
    return {
      ...this.#native,
      removeTree: async (path) => {
        const isTrash = path.includes("/trash/"); // what else is removed is what a failed pull has left
        if (isTrash && this.#isHeld) await new Promise<void>((resolve) => this.#waiting.push(resolve));
        if (isTrash && this.failures > 0) {
          this.failures -= 1;
          throw Object.assign(new Error("EIO: i/o error, unlink"), { code: "EIO" });
        }
        await this.#native.removeTree(path);
      },
    };
  }

  hold(): void {
    this.#isHeld = true;
  }

  letGo(): void {
    this.#isHeld = false;
    for (const go of this.#waiting.splice(0)) go();
  }
}

describe("a removed image", () => {
  let registry: TestRegistry;
  let reference: string;
  let test: TestStore;
  let mount: string;
  let disk: SlowDisk;
  let store: ImageStore;
  let log: string;

  before(async () => {
    registry = await startRegistry();
    ({ reference } = await pushImage(registry.host, "team/removed", "v1", { layers: [layer] }));
  });
  after(async () => {
    await registry.stop();
  });
  beforeEach(async () => {
    test = await makeTestStore();
    disk = new SlowDisk(test.native);
    log = "";
    mount = await mkdtemp(join(tmpdir(), "a3s-test-removal-"));
    await test.native.mountTmpfs(mount, 16 * mib, 0o700);
    store = await open();
  });
  afterEach(async () => {
    disk.letGo();
    await store.close();
    await test.close();
    await test.native.unmount(mount, true);
    await rm(mount, { recursive: true });
  });

  const open = async (): Promise<ImageStore> =>
    await test.openAgain({
      directory: join(mount, "images"),
      native: disk.native,
      log: createLogger("debug", { write: onLine }),
    });
  const onLine = (line: string): void => {
    log += line;
    if (line.includes("waits for the space")) disk.letGo();
  };
  const fill = async (bytes: number): Promise<void> => {
    await writeFile(join(mount, "filler"), Buffer.alloc(bytes));
  };
  const pull = async (): Promise<Image> => await store.pull(reference, undefined, signal);
  const inDirectory = async (name: string): Promise<string[]> => await readdir(join(mount, "images", name));
  const usedMib = async (): Promise<number> => Math.round(Number((await store.imageUsage()).usedBytes) / mib);
  const isOffTheDisk = async (): Promise<void> => {
    await eventually("the trash is empty", 20_000, async () => (await inDirectory("trash")).length === 0 || undefined);
  };

  it("is answered for before the disk has freed it; its space counts until then; it can be pulled meanwhile", async () => {
    await pull();
    expect(await usedMib()).to.equal(4); // packed and unpacked
    disk.hold();
    await store.remove(reference, signal);
    expect(await store.list()).to.deep.equal([]);
    expect([await inDirectory("layers"), await inDirectory("blobs/sha256")]).to.deep.equal([[], []]);
    expect(await usedMib()).to.be.within(2, 4);
    const again = await pull();
    expect(await store.readFile(again, "/noise").then((bytes) => bytes === null)).to.equal(true); // over 1 MiB
    expect(await inDirectory("layers")).to.have.length(1);
    disk.letGo();
    await isOffTheDisk();
    await eventually("the space is free", 20_000, async () => ((await usedMib()) === 4 ? true : undefined));
    expect((await store.list()).map(({ id }) => id)).to.deep.equal([again.id]);
  });

  it("is taken off the disk by the next process, where one died on the way", async () => {
    await pull();
    disk.hold();
    await store.remove(reference, signal);
    expect(await inDirectory("trash")).not.to.deep.equal([]);
    // The first one still stands in the middle of it, as one that has died does.
    const next = await test.openAgain({ directory: join(mount, "images") });
    expect(await inDirectory("trash")).to.deep.equal([]);
    expect(await next.list()).to.deep.equal([]);
    await next.close();
  });

  it("is tried again where the disk refused, and the log names what is left", async () => {
    await pull();
    disk.failures = 1;
    await store.remove(reference, signal);
    await isOffTheDisk();
    expect(disk.failures).to.equal(0);
    expect(log).to.match(/"directory":"[0-9a-f]{64}-[0-9a-f]{12}".*trash of the image store not removed/);
  });

  it("has left the disk when its removal is answered, where the disk is short of space", async () => {
    await pull();
    await fill(10 * mib);
    await store.remove(reference, signal);
    expect(await inDirectory("trash")).to.deep.equal([]);
  });

  it("makes room for a pull that comes while its space is on the way", async () => {
    await pull();
    await fill(9 * mib); // not short, and too full for a second one
    disk.hold();
    await store.remove(reference, signal);
    const large = buildLayer([{ name: "noise", content: randomBytes(3 * mib) }], "none");
    const pushed = await pushImage(registry.host, "team/large", "v1", { layers: [large] });
    expect((await store.pull(pushed.reference, undefined, signal)).id).to.equal(pushed.configDigest);
    expect(log).to.include("waits for the space");
  });
});
