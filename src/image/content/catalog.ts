/** Which images there are, as `index.json` says now: whoever wrote it, this process or another. */
import { readFileSync, statSync } from "node:fs";
import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import type { Image } from "../image-store.js";
import { readBlobSync } from "./blobs.js";
import { chainIdsOf, parseImageConfig, type ReadConfig } from "./image-config.js";
import { parseIndexFile, type IndexEntry } from "./index-file.js";
import { choosePlatform, hostPlatform, parseManifest, type LayerDescriptor, type Manifest } from "./manifest.js";
import type { StoreFolder } from "./store-folder.js";

/** A layer with all that unpacking it needs. */
export interface ImageLayer {
  readonly descriptor: LayerDescriptor;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

/** An image's content, apart from its names. */
export interface ImageContent {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly read: ReadConfig;
  readonly sizeBytes: bigint;
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  /** All that the image needs of `blobs`: manifest, what leads to it, config, layers. */
  readonly blobs: readonly Digest[];
}

export interface CatalogEntry {
  readonly entry: IndexEntry;
  /** Undefined where the content can't be read: then a sweep must not judge what is unreachable. */
  readonly content: ImageContent | undefined;
}

export interface CatalogImage {
  readonly image: Image;
  readonly content: ImageContent;
}

export class Catalog {
  readonly #folder: StoreFolder;
  readonly #log: Logger;
  #stamp = "";
  #entries: readonly CatalogEntry[] = [];
  #images: ReadonlyMap<Digest, CatalogImage> = new Map();

  constructor(folder: StoreFolder, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  entries(): readonly CatalogEntry[] {
    this.#refresh();
    return this.#entries;
  }

  /** By id. */
  images(): ReadonlyMap<Digest, CatalogImage> {
    this.#refresh();
    return this.#images;
  }

  /** One stat where nothing has changed. */
  #refresh(): void {
    const stamp = stampOf(this.#folder.indexFile);
    if (stamp === this.#stamp) return;
    const text = stamp === "" ? undefined : readFileSync(this.#folder.indexFile, "utf8");
    const known = new Map(this.#entries.map(({ entry, content }) => [entry.digest, content]));
    this.#entries = (text === undefined ? [] : parseIndexFile(text)).map((entry) => ({
      entry,
      content: known.get(entry.digest) ?? this.#tryRead(entry),
    }));
    this.#images = groupById(this.#entries);
    this.#stamp = stamp;
  }

  #tryRead(entry: IndexEntry): ImageContent | undefined {
    try {
      return readContent(entry, (blob) => readBlobSync(this.#folder, blob));
    } catch (thrown) {
      this.#log.warn(
        { image: entry.name, digest: entry.digest, err: messageOf(thrown) },
        "image left out: its content can't be read; pull it again",
      );
      return undefined;
    }
  }
}

/** Follows an entry to its image; `read` gives a blob's bytes. */
function readContent(
  entry: { readonly digest: Digest; readonly mediaType: string },
  read: (blob: Digest) => Buffer,
): ImageContent {
  const first = parseManifest(read(entry.digest), entry.mediaType);
  if (first.kind === "manifest") return contentOf(first, [entry.digest], read);
  const chosen = choosePlatform(first, hostPlatform());
  const second = parseManifest(read(chosen.digest), chosen.mediaType);
  if (second.kind === "index") throw new RuntimeError("internal", "an index within an index");
  return contentOf(second, [entry.digest, chosen.digest], read);
}

/** Joins layers with the digests that the config gives for them. */
export function joinLayers(manifest: Manifest, diffIds: readonly Digest[]): ImageLayer[] {
  const chainIds = chainIdsOf(diffIds);
  if (manifest.layers.length !== diffIds.length) {
    throw new RuntimeError(
      "internal",
      `the manifest has ${manifest.layers.length} layers, the config ${diffIds.length}`,
      { hint: "this is not a container image, or it is damaged" },
    );
  }
  const layers: ImageLayer[] = [];
  for (const [position, descriptor] of manifest.layers.entries()) {
    const diffId = diffIds[position];
    const chainId = chainIds[position];
    if (diffId !== undefined && chainId !== undefined) layers.push({ descriptor, diffId, chainId });
  }
  return layers;
}

function contentOf(manifest: Manifest, path: readonly Digest[], read: (blob: Digest) => Buffer): ImageContent {
  const config = parseImageConfig(read(manifest.config.digest));
  const sizes = [manifest.config, ...manifest.layers].map((part) => BigInt(part.size));
  return {
    id: manifest.config.digest,
    manifestDigest: path.at(-1) ?? manifest.config.digest,
    read: config,
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0n),
    layers: joinLayers(manifest, config.diffIds),
    blobs: [...path, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)],
  };
}

function groupById(entries: readonly CatalogEntry[]): Map<Digest, CatalogImage> {
  const groups = new Map<Digest, { content: ImageContent; tags: Set<string>; digests: Set<string> }>();
  for (const { entry, content } of entries) {
    if (content === undefined) continue;
    const group = groups.get(content.id) ?? { content, tags: new Set(), digests: new Set() };
    groups.set(content.id, group);
    if (entry.name === undefined) continue;
    (entry.name.includes("@") ? group.digests : group.tags).add(entry.name);
  }
  return new Map([...groups].map(([id, group]) => [id, { content: group.content, image: imageOf(id, group) }]));
}

function imageOf(id: Digest, group: { content: ImageContent; tags: Set<string>; digests: Set<string> }): Image {
  return {
    id,
    repoTags: [...group.tags].sort(),
    repoDigests: [...group.digests].sort(),
    sizeBytes: group.content.sizeBytes,
    config: group.content.read.config,
    chainIds: group.content.layers.map((layer) => layer.chainId),
    pinned: false,
  };
}

/** "" where there is no file. An atomic write always gives a new inode. */
function stampOf(path: string): string {
  try {
    const found = statSync(path, { bigint: true });
    return `${found.ino}:${found.mtimeNs}:${found.size}`;
  } catch (thrown) {
    if (isNotFound(thrown)) return "";
    throw thrown;
  }
}
