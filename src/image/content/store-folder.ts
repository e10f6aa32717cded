import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, type Digest } from "../../base/ids.js";
import { writeFileAtomic } from "../../base/record-file.js";
import { isThere } from "../../base/is-there.js";

/** Where what is in the folder of an image store. The first three names are those of an OCI image layout. */
export interface StoreFolder {
  readonly root: string;
  readonly indexFile: string;
  readonly blobs: string;
  /** `<chain id>/fs` and `layer.json`: unpacked layers. */
  readonly layers: string;
  /** `<key>/{image.json,upper,work}`: containers' writable trees. */
  readonly containers: string;
  /** One folder per process that brings something in. */
  readonly ingest: string;
  /** Taken out of the store, on the way out of the disk. */
  readonly trash: string;
  /** What an image without layers stands on. */
  readonly empty: string;
  /** A second one: the kernel wants the folders of an overlay to differ. */
  readonly emptyBelow: string;
  /** A file whose space is given up for a removal on a full disk. */
  readonly reserve: string;
}

export const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`;

/** Makes what is not there. Only root may enter: set-uid programs of images must not run on the host. */
export async function prepareStoreFolder(root: string): Promise<StoreFolder> {
  const folder: StoreFolder = {
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
  await mkdir(folder.blobs, { recursive: true });
  for (const path of [folder.layers, folder.containers, folder.ingest, folder.trash, folder.empty, folder.emptyBelow]) {
    await mkdir(path, { recursive: true, mode: 0o755 });
  }
  const layoutFile = join(root, "oci-layout");
  if (!(await isThere(layoutFile))) await writeFileAtomic(layoutFile, layoutVersion, 0o644);
  return folder;
}

export function blobPath(folder: StoreFolder, blob: Digest): string {
  return join(folder.blobs, digestHex(blob));
}

export function layerPath(folder: StoreFolder, chainId: Digest): string {
  return join(folder.layers, digestHex(chainId));
}

/** The root of an unpacked layer: a lower folder of an overlay. */
export function layerRoot(folder: StoreFolder, chainId: Digest): string {
  return join(layerPath(folder, chainId), "fs");
}
