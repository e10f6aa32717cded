/**
 * The power goes at every step of pulls, a container's tree and removals, each time with three outcomes for what was not
 * synced; the next boot finds a store that works, with all that was acknowledged.
 */
import { expect } from "chai";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/base/ids.js";
import type { Image, ImageStore } from "../../src/image/image-store.js";
import { bootId } from "../../src/image/unpack/layers.js";
import { openTestStore, registryOptions } from "../support/image-store.js";
import { cuts, Disk, writeState, type DiskState } from "../support/power-loss/disk.js";
import { record } from "../support/power-loss/recorder.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";
import { limit } from "../support/wait.js";

const signal = new AbortController().signal;
const shared = buildLayer([{ name: "base", content: "base" }]);
/** At each so many states the images are pulled once more. */
const pullEach = 25;

/** What is there by what was answered; undefined while it is being changed. */
type Facts = Readonly<Record<string, boolean | undefined>>;

interface Moment {
  readonly state: DiskState;
  readonly where: string;
  readonly facts: Facts;
}

describe("a power cut at any step of an image's life", function () {
  this.timeout(limit(300_000));
  let registry: TestRegistry;
  let top: string;
  let references: string[];
  let bytesOfThisBoot: string;

  before(async () => {
    registry = await startRegistry();
    top = await mkdtemp(join(tmpdir(), "a3s-power-"));
    references = [];
    bytesOfThisBoot = await bootId();
    for (const name of ["one", "two"]) {
      const layers = [shared, buildLayer([{ name: "top", content: name }])];
      references.push((await pushImage(registry.host, `power/${name}`, "v1", { layers })).reference);
    }
  });
  after(async () => {
    await rm(top, { recursive: true });
    await registry.stop();
  });

  const open = (directory: string): Promise<ImageStore> =>
    openTestStore(directory, { registry: registryOptions({ plainHttp: [registry.host] }) });

  /** One life of a store, and what a power cut would leave at each of its steps. */
  async function live(): Promise<Moment[]> {
    const root = join(top, "live");
    const [one = "", two = ""] = references;
    const moments = new Map<string, Moment>();
    let facts: Facts = { [one]: false, [two]: false, c1: false };
    let steps = 0;
    const disk = new Disk(root);
    using recording = record(disk, () => {
      steps += 1;
      for (const cut of cuts) {
        const state = disk.after(cut);
        const key = fingerprint(state, facts);
        if (!moments.has(key)) moments.set(key, { state, where: `step ${steps}, ${cut} kept`, facts });
      }
    });
    expect(recording).to.not.equal(undefined);
    const become = async (what: string, there: boolean, change: () => Promise<unknown>): Promise<void> => {
      facts = { ...facts, [what]: undefined };
      await change();
      facts = { ...facts, [what]: there };
    };
    const store = await open(root);
    await become(one, true, () => store.pull(one, undefined, signal));
    await become("c1", true, async () => store.prepareSnapshot("c1", await found(store, one), signal));
    await become(two, true, () => store.pull(two, undefined, signal));
    await become(one, false, () => store.remove(one, signal));
    await become("c1", false, () => store.removeSnapshot("c1", signal));
    await become(one, true, () => store.pull(one, undefined, signal));
    await store.close();
    return [...moments.values()];
  }

  it("leaves a store that opens, with every image that was acknowledged, whole", async () => {
    const moments = await live();
    process.stdout.write(`      ${moments.length} states of the disk\n`);
    expect(moments.length).to.be.greaterThan(100);
    for (const [number, moment] of moments.entries()) {
      try {
        await inspect(moment, number % pullEach === 0);
      } catch (thrown) {
        throw new Error(`${moment.where}: ${String(thrown)}`, { cause: thrown });
      }
    }
  });

  async function inspect({ state, facts }: Moment, pullAgain: boolean): Promise<void> {
    const directory = await mkdtemp(join(top, "cut-"));
    await writeState(state, directory, (bytes) =>
      bytes.includes(bytesOfThisBoot)
        ? Buffer.from(bytes.toString().replace(bytesOfThisBoot, "the boot before"))
        : bytes,
    );
    const store = await open(directory);
    try {
      const snapshots = new Set(await store.listSnapshots());
      for (const [what, there] of Object.entries(facts)) {
        if (there === undefined) continue;
        expect(what === "c1" ? snapshots.has(what) : (await store.find(what)) !== undefined, what).to.equal(there);
      }
      const needed = new Set<string>();
      for (const image of await store.list()) await store.readConfig(image);
      for (const digest of await namedBlobs(directory)) needed.add(digest);
      const blobs = await readdir(join(directory, "blobs", "sha256"));
      expect(blobs).to.include.members([...needed]);
      for (const hex of needed) expect(await hashOf(join(directory, "blobs", "sha256", hex))).to.equal(hex);
      expect((await readdir(directory)).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
      if (pullAgain) await expectUsable(store);
    } finally {
      await store.close();
      await rm(directory, { recursive: true });
    }
  }

  async function expectUsable(store: ImageStore): Promise<void> {
    for (const [at, reference] of references.entries()) {
      const image = await store.pull(reference, undefined, signal);
      expect(String(await store.readFile(image, "/top"))).to.equal(["one", "two"][at]);
      await store.prepareSnapshot(`again-${at}`, image, signal);
    }
  }
});

async function found(store: ImageStore, reference: string): Promise<Image> {
  const image = await store.find(reference);
  if (image === undefined) throw new Error(`${reference} is not here`);
  return image;
}

interface Named {
  readonly digest: Digest;
}

/** Hex digests of all that the index names: manifests, configs, layers. */
async function namedBlobs(directory: string): Promise<string[]> {
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(directory, path), "utf8"));
  const index = (await read("index.json")) as { manifests: Named[] };
  const named: Named[] = [...index.manifests];
  for (const { digest } of index.manifests) {
    const manifest = (await read(`blobs/sha256/${hexOf(digest)}`)) as { config: Named; layers: Named[] };
    named.push(manifest.config, ...manifest.layers);
  }
  return named.map(({ digest }) => hexOf(digest));
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

async function hashOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

function fingerprint(state: DiskState, facts: Facts): string {
  const hash = createHash("sha256").update(JSON.stringify(Object.entries(facts)));
  for (const [path, bytes] of state)
    hash.update(`\0${path}\0${bytes === null ? "directory" : bytes.toString("base64")}`);
  return hash.digest("hex");
}
