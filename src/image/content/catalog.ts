/** Which images there are, as `index.json` says now: whoever wrote it, this process or another. */
import { readFile, stat } from "node:fs/promises";
import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { NextLook } from "../../base/next-look.js";
import type { Image } from "../image-store.js";
import { readBlob } from "./blobs.js";
import { maxConfigBytes } from "./config-bounds.js";
import { chainIdsOf, parseImageConfig } from "./image-config.js";
import { parseIndexFile, type IndexEntry } from "./index-file.js";
import {
  choosePlatform,
  hostPlatform,
  maxImageManifestBytes,
  parseManifest,
  type ImageIndex,
  type LayerDescriptor,
  type Manifest,
} from "./manifest.js";
import { blobPath, type StoreDirectory } from "./store-directory.js";

/** A layer with all that unpacking it needs. */
export interface ImageLayer {
  readonly descriptor: LayerDescriptor;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

/** An image's content, apart from its names: what lists and sweeps ask for. The rest of its config is read when it is wanted. */
export interface ImageContent {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly user: string;
  readonly platform: string;
  readonly sizeBytes: bigint;
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
}

export interface CatalogEntry {
  readonly entry: IndexEntry;
  /** Undefined where it can't be read, or breaks a bound that was not there when it came. */
  readonly content: ImageContent | undefined;
  /**
   * All that the image needs of `blobs`: manifest, what leads to it, config, layers. Undefined where it can't be told: then
   * a sweep must not judge what is unreachable.
   */
  readonly blobs: readonly Digest[] | undefined;
}

export interface CatalogImage {
  readonly image: Image;
  readonly content: ImageContent;
}

/** What is in the store at one moment. */
export interface Known {
  readonly entries: readonly CatalogEntry[];
  /** By id. */
  readonly images: ReadonlyMap<Digest, CatalogImage>;
}

export class Catalog {
  readonly #directory: StoreDirectory;
  readonly #log: Logger;
  readonly #look = new NextLook(() => this.#refreshed());
  #stamp = "";
  #known: Known = { entries: [], images: new Map() };

  constructor(directory: StoreDirectory, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** One stat where nothing has changed; else each image that is new is read, one after the other. */
  async known(): Promise<Known> {
    return await this.#look.ask();
  }

  async #refreshed(): Promise<Known> {
    const stamp = await stampOf(this.#directory.indexFile);
    if (stamp === this.#stamp) return this.#known;
    const listed = stamp === "" ? [] : parseIndexFile(await readFile(this.#directory.indexFile, "utf8"));
    const before = new Map(this.#known.entries.map((known) => [known.entry.digest, known]));
    const entries: CatalogEntry[] = [];
    for (const entry of listed) {
      const known = before.get(entry.digest);
      const { content, blobs } = known?.blobs === undefined ? await this.#read(entry) : known;
      const read = { entry, content, blobs };
      before.set(entry.digest, read); // an image has several names
      entries.push(read);
    }
    this.#known = { entries, images: groupById(entries) };
    this.#stamp = stamp;
    return this.#known;
  }

  async #read(entry: IndexEntry): Promise<Omit<CatalogEntry, "entry">> {
    try {
      const read = await readContent(this.#directory, entry);
      if (!("refused" in read)) return read;
      this.#log.warn(
        { image: entry.name, digest: entry.digest, err: read.refused },
        "image left out: it breaks a bound of this version; remove it by its name, or pull another version of it",
      );
      return { content: undefined, blobs: read.blobs };
    } catch (thrown) {
      this.#log.warn(
        { image: entry.name, digest: entry.digest, err: messageOf(thrown) },
        "image left out: its content can't be read; pull it again",
      );
      return { content: undefined, blobs: undefined };
    }
  }
}

type ReadEntry =
  | { readonly content: ImageContent; readonly blobs: readonly Digest[] }
  | { readonly refused: string; readonly blobs: readonly Digest[] };

/** Follows an entry to its image. What is there whole and is refused keeps its blobs, so that it is no riddle to a sweep. */
async function readContent(directory: StoreDirectory, entry: IndexEntry): Promise<ReadEntry> {
  const blobs: Digest[] = [];
  const bounded = async (blob: Digest, mostBytes: number, what: string): Promise<Buffer> => {
    blobs.push(blob);
    const { size } = await stat(blobPath(directory, blob));
    if (size > mostBytes) throw new Refused(`the ${what} has ${size} bytes, more than ${mostBytes}`);
    return await readBlob(directory, blob);
  };
  const manifest = async (blob: Digest, mediaType: string): Promise<Manifest | ImageIndex> => {
    const bytes = await bounded(blob, maxImageManifestBytes, "image manifest");
    return refusing(() => parseManifest(bytes, mediaType));
  };
  try {
    let found = await manifest(entry.digest, entry.mediaType);
    if (found.kind === "index") {
      const index = found;
      const chosen = refusing(() => choosePlatform(index, hostPlatform()));
      found = await manifest(chosen.digest, chosen.mediaType);
    }
    if (found.kind === "index") throw new Refused("an index within an index");
    const { config, layers } = found;
    const manifestDigest = blobs.at(-1) ?? entry.digest;
    blobs.push(config.digest, ...layers.map((layer) => layer.digest));
    const bytes = await bounded(config.digest, maxConfigBytes, "image config");
    return {
      content: refusing(() => contentOf(manifestDigest, { config, layers }, bytes)),
      blobs: [...new Set(blobs)],
    };
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    return { refused: thrown.message, blobs: [...new Set(blobs)] };
  }
}

/** Content that is whole and no image for this version. */
class Refused extends Error {}

function refusing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Refused(messageOf(cause), { cause });
  }
}

/** Joins layers with the digests that the config gives for them. */
export function joinLayers(manifest: Pick<Manifest, "layers">, diffIds: readonly Digest[]): ImageLayer[] {
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

function contentOf(manifestDigest: Digest, manifest: Pick<Manifest, "config" | "layers">, bytes: Buffer): ImageContent {
  const { config, diffIds } = parseImageConfig(bytes);
  const sizes = [manifest.config, ...manifest.layers].map((part) => BigInt(part.size));
  return {
    id: manifest.config.digest,
    manifestDigest,
    user: config.user,
    platform: config.platform,
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0n),
    layers: joinLayers(manifest, diffIds),
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
    user: group.content.user,
    platform: group.content.platform,
    chainIds: group.content.layers.map((layer) => layer.chainId),
    pinned: false,
  };
}

/** "" where there is no file. An atomic write always gives a new inode. */
async function stampOf(path: string): Promise<string> {
  try {
    const found = await stat(path, { bigint: true });
    return `${found.ino}:${found.mtimeNs}:${found.size}`;
  } catch (thrown) {
    if (isNotFound(thrown)) return "";
    throw thrown;
  }
}
