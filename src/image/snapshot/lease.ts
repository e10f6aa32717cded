/** `image.json` beside a container's writable tree: the layers that it stands on stay, also when their image goes. */
import { join } from "node:path";
import { z } from "zod";
import { digest, type Digest } from "../../base/ids.js";
import { readRecord, writeRecord } from "../../base/record-file.js";

export interface Lease {
  readonly imageId: Digest;
  /** Lowest first. */
  readonly chainIds: readonly Digest[];
}

const digestText = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const leaseSchema = z.object({ version: z.literal(1), imageId: digestText, chainIds: z.array(digestText) });

export async function writeLease(container: string, lease: Lease): Promise<void> {
  await writeRecord(join(container, "image.json"), { version: 1, ...lease });
}

export async function readLease(container: string): Promise<Lease> {
  const read = leaseSchema.parse(await readRecord(join(container, "image.json")));
  return { imageId: digest(read.imageId), chainIds: read.chainIds.map(digest) };
}
