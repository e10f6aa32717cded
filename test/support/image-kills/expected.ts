/** What must be true of the store, from what its users said; and the looks at it that prove it. */
import { expect } from "chai";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageStore } from "../../../src/image/image-store.js";
import { run, type TestStore } from "../image-store.js";
import { describeImage, type ImageSource } from "../registry.js";
import { sha256 } from "../tar-builder.js";
import type { Killed, Said } from "./kill-one.js";

export interface KnownImage {
  readonly reference: string;
  /** Of its snapshot. */
  readonly key: string;
  readonly id: string;
  readonly source: ImageSource;
  /** Hex digests of its blobs. */
  readonly blobs: readonly string[];
  /** Hex chain ids. */
  readonly layers: readonly string[];
}

/** Undefined: it was being changed when the process died, so either will do. */
type Fact = boolean | undefined;

/** Which images and snapshots there are, as far as it was acknowledged. */
export class Acknowledged {
  readonly images = new Map<string, Fact>();
  readonly snapshots = new Map<string, Fact>();

  take({ ended, underWay }: Killed): void {
    for (const said of ended) this.#set(said, true);
    for (const said of underWay) this.#set(said, false);
  }

  #set({ what, reference }: Said, done: boolean): void {
    if (what === "pull") this.images.set(reference, done || undefined);
    if (what === "remove") this.images.set(reference, done ? false : undefined);
    if (what === "make") this.snapshots.set(reference, done || undefined);
    if (what === "unmake") this.snapshots.set(reference, done ? false : undefined);
  }
}

export function knownImage(
  reference: string,
  key: string,
  source: ImageSource,
  chainIds: readonly string[],
): KnownImage {
  const { config, manifest } = describeImage(source);
  const blobs = [manifest, config, ...source.layers.map(({ bytes }) => bytes)].map((bytes) => hexOf(sha256(bytes)));
  return { reference, key, id: sha256(config), source, blobs, layers: chainIds.map(hexOf) };
}

/** Looks at everything in the store once it has been opened again; what was unknown is known after it. */
export async function expectWhole(
  test: TestStore,
  store: ImageStore,
  images: readonly KnownImage[],
  acknowledged: Acknowledged,
  trees: ReadonlyMap<string, string>,
): Promise<void> {
  const listed = new Set((await store.list()).map(({ id }) => id as string));
  const snapshots = new Set(await store.listSnapshots());
  const blobs = new Set<string>();
  const layers = new Set<string>();
  for (const image of images) {
    const here = listed.delete(image.id);
    agree(acknowledged.images, image.reference, here);
    expect((await store.find(image.reference))?.id).to.equal(here ? image.id : undefined);
    const used = snapshots.delete(image.key);
    agree(acknowledged.snapshots, image.reference, used);
    if (here) for (const blob of image.blobs) blobs.add(blob);
    if (here || used) for (const layer of image.layers) layers.add(layer);
    if (used) await expectSnapshot(join(test.directory, "containers", image.key));
  }
  expect([...listed, ...snapshots]).to.deep.equal([]);
  for (const hex of await indexed(test, store)) blobs.add(hex);
  // Nothing is missing, nothing is left over.
  expect(await test.contents()).to.deep.equal({ blobs: [...blobs].sort(), layers: [...layers].sort() });
  expect(await test.leftovers()).to.deep.equal([]);
  expect((await readdir(test.directory)).filter((name) => !rootNames.has(name))).to.deep.equal([]);
  for (const blob of blobs) expect(await hashOf(join(test.directory, "blobs", "sha256", blob))).to.equal(blob);
  for (const layer of layers) expect(await treeOf(test, layer)).to.equal(trees.get(layer));
}

/** Names, modes, owners, sizes, times, links and contents of an unpacked layer, as one text. */
export async function treeOf(test: TestStore, layer: string): Promise<string> {
  const script = `cd "$1" && find . -printf '%m %U %G %s %T@ %y %p %l\\n' | grep -v '^[^ ]* [^ ]* [^ ]* [^ ]* [^ ]* d' | sort
find . -type d | sort; find . -type f -print0 | sort -z | xargs -0 -r sha256sum`;
  return await run("sh", ["-c", script, "sh", join(test.directory, "layers", layer, "fs")]);
}

async function expectSnapshot(path: string): Promise<void> {
  expect(await readdir(path)).to.have.members(["image.json", "written"]);
  expect(await readdir(join(path, "written"))).to.have.members(["upper", "work"]);
}

const rootNames = new Set(
  "blobs containers empty empty-below index.json ingest layers oci-layout reserve trash".split(" "),
);

function agree(facts: Map<string, Fact>, reference: string, is: boolean): void {
  const was = facts.get(reference);
  if (was !== undefined) expect(is, `${reference} is here`).to.equal(was);
  facts.set(reference, is);
}

interface Index {
  readonly manifests: readonly { readonly digest: string }[];
}

/**
 * Every entry of the index is an image that is shown. Gives the blobs that the entries name: manifests, and for images
 * of Docker's types the indexes around them, which the store makes.
 */
async function indexed(test: TestStore, store: ImageStore): Promise<string[]> {
  const index = JSON.parse(await readFile(join(test.directory, "index.json"), "utf8")) as Index;
  const names = new Set((await store.list()).flatMap(({ repoTags, repoDigests }) => [...repoTags, ...repoDigests]));
  expect(index.manifests).to.have.length(names.size);
  return index.manifests.map(({ digest }) => hexOf(digest));
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
