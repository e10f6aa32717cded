/**
 * `image.json` beside a container's writable tree: the layers that it stands on, and those of the images that it mounts,
 * stay also when their images go.
 */
import { join } from "node:path";
import * as z from "zod";
import { digest, type Digest } from "../../base/ids.js";
import { readRecord, writeRecord } from "../../base/record-file.js";

export interface Lease {
  /** The container's image first, then those of its volumes. */
  readonly imageIds: readonly Digest[];
  /** Of all of them. */
  readonly chainIds: readonly Digest[];
}

const digestText = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const leaseSchema = z.object({
  version: z.literal(1),
  imageId: digestText,
  volumeImageIds: z.array(digestText).default([]),
  chainIds: z.array(digestText),
});

export async function writeLease(container: string, lease: Lease): Promise<void> {
  const [imageId, ...volumeImageIds] = lease.imageIds;
  await writeRecord(join(container, "image.json"), { version: 1, imageId, volumeImageIds, chainIds: lease.chainIds });
}

export async function readLease(container: string): Promise<Lease> {
  const read = leaseSchema.parse(await readRecord(join(container, "image.json")));
  return { imageIds: [read.imageId, ...read.volumeImageIds].map(digest), chainIds: read.chainIds.map(digest) };
}
