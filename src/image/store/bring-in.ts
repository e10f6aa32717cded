/** The second half of a pull and of an import: from a manifest and a way to its blobs to a named image. */
import { takeBack } from "../../base/cleanup.js";
import { RuntimeError } from "../../base/errors.js";
import { settlesInTime } from "../../base/hold.js";
import type { Digest } from "../../base/ids.js";
import { stage, step } from "../../base/stage.js";
import { hasBlob, readBlob, writeBlobBytes } from "../content/blobs.js";
import { joinLayers, type Catalog, type ImageLayer } from "../content/catalog.js";
import { maxConfigBytes } from "../content/config-bounds.js";
import { parseImageConfig, sha256Of } from "../content/image-config.js";
import type { IndexEntry } from "../content/index-file.js";
import type { Hold, Ingest } from "../content/ingest.js";
import type { Manifest } from "../content/manifest.js";
import { hostPlatform, maxImageManifestBytes } from "../content/manifest.js";
import { ociIndex, ociManifest } from "../content/media-types.js";
import type { StoreDirectory } from "../content/store-directory.js";
import type { StoreLock } from "../content/store-lock.js";
import type { PullWatch } from "../image-store.js";
import type { LayerFiles } from "../unpack/layer-files.js";
import type { Layers, ProvideBlob } from "../unpack/layers.js";
import { recordEntries } from "./record-names.js";
import type { SpaceNeed } from "./space.js";

export interface StoreParts {
  readonly directory: StoreDirectory;
  readonly storeLock: StoreLock;
  readonly ingest: Ingest;
  readonly catalog: Catalog;
  readonly layers: Layers;
  readonly layerFiles: LayerFiles;
  readonly watch?: PullWatch | undefined;
  /** Of this pull or import alone. */
  readonly space?: SpaceNeed | undefined;
}

/** For small files to be on the disk, behind all that is on its way there. */
const recordLimitMs = 300_000;

/** A manifest of this machine's platform, and what it is to be called. */
export interface IncomingImage {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly manifest: Manifest;
  readonly digest: Digest;
  /** Names in full; none: the image is known by its id alone. */
  readonly names: readonly string[];
  readonly servedDigest: Digest | undefined;
}

/** Resolves to the image's id when its layers are unpacked and its names are on the disk. */
export async function bringIn(
  parts: StoreParts,
  image: IncomingImage,
  provide: ProvideBlob,
  signal: AbortSignal,
): Promise<Digest> {
  const { manifest } = image;
  if (image.bytes.byteLength > maxImageManifestBytes) {
    const size = image.bytes.byteLength;
    throw new RuntimeError("internal", `the image manifest has ${size} bytes, more than ${maxImageManifestBytes}`);
  }
  const holds: Hold[] = [];
  try {
    const blobs = [image.digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
    holds.push(await parts.ingest.hold({ blobs, layers: [] }, signal));
    const layers = await step("bring the image config", signal, (limited) =>
      readLayers(parts, manifest, provide, limited),
    );
    parts.watch?.planned(layers.map(({ descriptor }) => ({ digest: descriptor.digest, sizeBytes: descriptor.size })));
    await parts.space?.plan(parts.directory, layers);
    holds.push(await parts.ingest.hold({ blobs: [], layers: layers.map((layer) => layer.chainId) }, signal));
    await parts.layers.ensure(layers, provide, signal);
    // Also where a layer's tree was there already: the layout is whole, and the tree can be made again.
    for (const layer of layers) await provide(layer.descriptor, signal);
    const entry = await stage("write the manifest", recordLimitMs, signal, async () => {
      await writeBlobBytes(parts.directory, parts.ingest, image.bytes);
      return await entryOf(parts, image, holds);
    });
    const named = image.names.map((name) => ({ ...entry, name }));
    await stage("record the image", recordLimitMs, signal, (limited) =>
      recordEntries(parts, named.length === 0 ? [entry] : named, limited),
    );
    parts.layers.sync();
    return manifest.config.digest;
  } finally {
    await letGo(holds, signal);
  }
}

/** The store's lock is free in a moment, but where another call has it on a disk that hangs: that is not waited for. */
const letGoGraceMs = 100;

/** A caller who has gone gets its answer when nothing is held for it any more, or soon after where that can't be had. */
async function letGo(holds: readonly Hold[], signal: AbortSignal): Promise<void> {
  const released = takeBack(async () => {
    for (const hold of holds) await hold.release();
  });
  if (await settlesInTime(released, signal, letGoGraceMs)) await released;
}

async function readLayers(
  parts: StoreParts,
  manifest: Manifest,
  provide: ProvideBlob,
  signal: AbortSignal,
): Promise<ImageLayer[]> {
  const { config } = manifest;
  if (config.size > maxConfigBytes) {
    throw new RuntimeError("internal", `the image config has ${config.size} bytes, more than ${maxConfigBytes}`);
  }
  await provide(config, signal);
  const read = parseImageConfig(await readBlob(parts.directory, config.digest));
  checkPlatform(read.config.platform);
  return joinLayers(manifest, read.diffIds);
}

/** "linux/amd64/v2" will do for "linux/amd64", and so will a config that names no architecture. */
function checkPlatform(platform: string): void {
  const host = hostPlatform();
  if (!platform.includes("/") || `${platform}/`.startsWith(`${host}/`)) return;
  throw new RuntimeError("notFound", `the image is for ${platform}, not for ${host}`, {
    hint: "choose an image built for this machine's architecture",
  });
}

/** The index names an OCI manifest directly, one of Docker's type through an index of our own (index-file.ts). */
async function entryOf(parts: StoreParts, image: IncomingImage, holds: Hold[]): Promise<IndexEntry> {
  const direct = { digest: image.digest, size: image.bytes.byteLength, mediaType: image.mediaType };
  if (image.mediaType === ociManifest) return { ...direct, name: undefined, servedDigest: image.servedDigest };
  const [os, architecture] = hostPlatform().split("/");
  const manifests = [{ ...direct, platform: { os, architecture } }];
  const wrapper = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
  const digest = sha256Of(wrapper);
  holds.push(await parts.ingest.hold({ blobs: [digest], layers: [] }));
  await writeBlobBytes(parts.directory, parts.ingest, wrapper);
  return {
    digest,
    size: wrapper.byteLength,
    mediaType: ociIndex,
    name: undefined,
    servedDigest: image.servedDigest,
  };
}

/** For content that must be in the store already. */
export function requireBlob(directory: StoreDirectory): ProvideBlob {
  return async (blob) => {
    if (await hasBlob(directory, blob.digest, blob.size)) return;
    throw new RuntimeError("failedPrecondition", `the store has lost ${blob.digest}`, { hint: "pull the image again" });
  };
}
