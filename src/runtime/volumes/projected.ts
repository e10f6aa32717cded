/** Volumes whose content kubelet swaps as a whole: ConfigMaps, Secrets, tokens, the downward API. */
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";

/** A copy takes memory of the guest. kubelet's own limit of a ConfigMap or Secret is 1 MiB. */
const maxEntries = 512;
const maxBytes = 4 * 1024 * 1024;

/**
 * True for a directory that is written as kubelet's AtomicWriter does it: `..data` is a link to a neighbour whose name
 * begins with "..", and all other names lead through it. One with more in it than a copy is made of is none.
 * Source: kubernetes, pkg/volume/util/atomic_writer.go.
 */
export async function isProjected(directory: string): Promise<boolean> {
  try {
    const data = await readlink(join(directory, "..data"));
    if (!/^\.\.[^/]+$/.test(data) || data === "..data") return false;
    return await fits(directory);
  } catch {
    return false; // no such link, no directory at all, or one that is being swapped away
  }
}

async function fits(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { recursive: true });
  if (entries.length > maxEntries) return false;
  let bytes = 0;
  for (const entry of entries) {
    const facts = await lstat(join(directory, entry));
    if (facts.isFile()) bytes += facts.size;
    if (bytes > maxBytes) return false;
  }
  return true;
}
