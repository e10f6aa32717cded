/** The disk's space: what an image needs of it, and what to say when there is not enough. */
import { open, statfs } from "node:fs/promises";
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { isThere } from "../../base/is-there.js";
import { hasBlob } from "../content/blobs.js";
import type { ImageLayer } from "../content/catalog.js";
import { blobPath, layerPath, type StoreDirectory } from "../content/store-directory.js";

interface Missing {
  readonly layer: ImageLayer;
  /** Of its blob: 0 where that was there before. */
  readonly packedBytes: number;
  /** Its tree was not there before. */
  readonly unpack: boolean;
}

/** What one pull or import brings in, noted before it writes anything of it. */
export class SpaceNeed {
  #missing: readonly Missing[] = [];

  /** `resourceExhausted` where not even the packed layers would fit: better now than after minutes of download. */
  async plan(directory: StoreDirectory, layers: readonly ImageLayer[]): Promise<void> {
    const missing: Missing[] = [];
    for (const layer of layers) {
      const { digest, size } = layer.descriptor;
      const here = await hasBlob(directory, digest, size);
      missing.push({
        layer,
        packedBytes: here ? 0 : size,
        unpack: !(await isThere(layerPath(directory, layer.chainId))),
      });
    }
    this.#missing = missing;
    const packedBytes = missing.reduce((sum, one) => sum + one.packedBytes, 0);
    if (packedBytes > (await freeBytes(directory)))
      throw new RuntimeError("resourceExhausted", "the disk is too small");
  }

  /** The least that it needs, 0 before the plan: a layer's tree takes what its blob says, and where it can't be asked, as much as the blob. */
  async leastBytes(directory: StoreDirectory): Promise<number> {
    let sum = 0;
    for (const { layer, packedBytes, unpack } of this.#missing) {
      sum += packedBytes + (unpack ? await unpackedBytes(directory, layer) : 0);
    }
    return sum;
  }
}

/** True for what ENOSPC and EDQUOT have become on their way here, through a worker's message too. */
export function isFullDisk(thrown: unknown): boolean {
  if (thrown instanceof RuntimeError && thrown.code === "resourceExhausted") return true;
  const errno = errnoOf(thrown);
  if (errno === "ENOSPC" || errno === "EDQUOT" || /\b(?:ENOSPC|EDQUOT)\b/.test(messageOf(thrown))) return true;
  return thrown instanceof Error && thrown.cause !== undefined && isFullDisk(thrown.cause);
}

/** After what was written has gone again, so that the figure of free space is the one to compare. */
export async function fullDisk(
  what: string,
  neededBytes: number,
  directory: StoreDirectory,
  cause: unknown,
): Promise<RuntimeError> {
  const free = await freeBytes(directory);
  const needs = neededBytes === 0 ? "no space left" : `it needs at least ${neededBytes} bytes`;
  return new RuntimeError("resourceExhausted", `${what}: ${needs}, and ${free} bytes are free in ${directory.root}`, {
    hint: "free space on that file system, or remove images",
    cause,
  });
}

/** Of the file system; kubelet wants more of it than this to be free, by its defaults (imagefs.available<15%). */
const shortBelow = 1 / 6;

/**
 * Whether what a removal gives back is likely to be counted right after it: kubelet removes images below its threshold,
 * looks at the disk at once, and evicts pods where that has not helped (kubelet, eviction manager, reclaimNodeLevelResources).
 */
export async function isShortOfSpace(directory: StoreDirectory): Promise<boolean> {
  const { bavail, blocks } = await statfs(directory.root);
  return bavail < blocks * shortBelow;
}

/** As `df` says: without what the file system keeps back for root. */
async function freeBytes(directory: StoreDirectory): Promise<number> {
  const { bavail, bsize } = await statfs(directory.root);
  return bavail * bsize;
}

/** RFC 1952, ISIZE: the last four bytes of a gzip member. Packers of layers write one member. */
async function unpackedBytes(directory: StoreDirectory, { descriptor }: ImageLayer): Promise<number> {
  if (descriptor.compression !== "gzip" || descriptor.size < 4) return descriptor.size;
  if (!(await hasBlob(directory, descriptor.digest, descriptor.size))) return descriptor.size;
  await using file = await open(blobPath(directory, descriptor.digest), "r");
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, descriptor.size - 4);
  return Math.max(buffer.readUInt32LE(0), descriptor.size);
}
