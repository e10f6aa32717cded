import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, type Digest } from "../../base/ids.js";
import { writeFileAtomic } from "../../base/record-file.js";
import { isThere } from "../../base/is-there.js";

/** Where what is in the directory of an image store. The first three names are those of an OCI image layout. */
export interface StoreDirectory {
  readonly root: string;
  readonly indexFile: string;
  readonly blobs: string;
  /** `<chain id>/fs` and `layer.json`: unpacked layers, and as files where Boxes want them (layer-files.ts). */
  readonly layers: string;
  /** `<key>/image.json` and `<key>/written/{upper,work}`: containers' writable trees. */
  readonly containers: string;
  /** One directory per process that brings something in. */
  readonly ingest: string;
  /** Taken out of the store, on the way out of the disk. */
  readonly trash: string;
  /** What an image without layers stands on. */
  readonly empty: string;
  /** A second one: the kernel wants the directories of an overlay to differ. */
  readonly emptyBelow: string;
  /** A file whose space is given up for a removal on a full disk. */
  readonly reserve: string;
}

export const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`;

/** Makes what is not there. Only root may enter: set-uid programs of images must not run on the host. */
export async function prepareStoreDirectory(root: string): Promise<StoreDirectory> {
  const directory: StoreDirectory = {
    root,
    indexFile: join(root, "index.json"),
    blobs: join(root, "blobs", "sha256"),
    layers: join(root, "layers"),
    containers: join(root, "containers"),
    ingest: join(root, "ingest"),
    trash: join(root, "trash"),
    empty: join(root, "empty"),
    emptyBelow: join(root, "empty-below"),
    reserve: join(root, "reserve"),
  };
  await mkdir(root, { recursive: true, mode: 0o700 });
  await chmod(root, 0o700);
  await mkdir(directory.blobs, { recursive: true });
  for (const path of [
    directory.layers,
    directory.containers,
    directory.ingest,
    directory.trash,
    directory.empty,
    directory.emptyBelow,
  ]) {
    await mkdir(path, { recursive: true, mode: 0o755 });
  }
  const layoutFile = join(root, "oci-layout");
  if (!(await isThere(layoutFile))) await writeFileAtomic(layoutFile, layoutVersion, 0o644);
  return directory;
}

export function blobPath(directory: StoreDirectory, blob: Digest): string {
  return join(directory.blobs, digestHex(blob));
}

export function layerPath(directory: StoreDirectory, chainId: Digest): string {
  return join(directory.layers, digestHex(chainId));
}

/** The root of an unpacked layer: a lower directory of an overlay. */
export function layerRoot(directory: StoreDirectory, chainId: Digest): string {
  return join(layerPath(directory, chainId), "fs");
}
