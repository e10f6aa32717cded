/** Names in the index: who is called what after a pull or an import. */
import type { Catalog } from "../content/catalog.js";
import { writeIndexFile, type IndexEntry } from "../content/index-file.js";
import type { StoreDirectory } from "../content/store-directory.js";
import type { StoreLock } from "../content/store-lock.js";

/**
 * Puts entries in, durable when it resolves. An older entry of the same name goes; where it was its image's last one,
 * the image stays without a name, for containers may run from it.
 */
export async function recordEntries(
  parts: { readonly directory: StoreDirectory; readonly catalog: Catalog; readonly storeLock: StoreLock },
  added: readonly IndexEntry[],
  signal: AbortSignal,
): Promise<void> {
  await parts.storeLock.run(async () => {
    const { entries: before } = await parts.catalog.known();
    const after = withEntries(
      before.map(({ entry }) => entry),
      added,
    );
    const unreadable = before.some(({ content }) => content === undefined);
    if (!unreadable && sameEntries(before, after)) return;
    await writeIndexFile(parts.directory.indexFile, after);
  }, signal);
}

export function withEntries(before: readonly IndexEntry[], added: readonly IndexEntry[]): IndexEntry[] {
  const names = new Set(added.map((entry) => entry.name));
  const all = [...added, ...before.map((entry) => (names.has(entry.name) ? { ...entry, name: undefined } : entry))];
  const named = new Set(all.filter((entry) => entry.name !== undefined).map((entry) => entry.digest));
  const nameless = new Set<string>();
  return all.filter((entry) => {
    if (entry.name !== undefined) return true;
    if (named.has(entry.digest) || nameless.has(entry.digest)) return false;
    nameless.add(entry.digest);
    return true;
  });
}

function sameEntries(before: readonly { readonly entry: IndexEntry }[], after: readonly IndexEntry[]): boolean {
  const key = (entry: IndexEntry): string => `${entry.name ?? ""} ${entry.digest} ${entry.servedDigest ?? ""}`;
  const old = new Set(before.map(({ entry }) => key(entry)));
  return old.size === after.length && after.every((entry) => old.has(key(entry)));
}
