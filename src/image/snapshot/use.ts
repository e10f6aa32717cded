/** Which containers stand on which images: their leases say so, whichever process made them. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../base/ids.js";
import type { StoreDirectory } from "../content/store-directory.js";
import { readLease } from "./lease.js";

/** Keys of containers by the id of an image that they run from, or have mounted. */
export async function readUse(directory: StoreDirectory): Promise<ReadonlyMap<Digest, readonly string[]>> {
  const use = new Map<Digest, string[]>();
  for (const key of await readdir(directory.containers)) {
    const lease = await readLease(join(directory.containers, key)).catch(() => undefined); // gone since, or damaged
    for (const id of new Set(lease?.imageIds)) use.set(id, [...(use.get(id) ?? []), key]);
  }
  return use;
}
