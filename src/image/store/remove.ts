/** Images leave: their names go under the store's lock; what nothing reaches any more is for the sweep. */
import { RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import type { CatalogEntry, Known } from "../content/catalog.js";
import { writeIndexFile } from "../content/index-file.js";
import { withReserve } from "../content/reserve.js";
import type { SweepParts } from "../gc/sweep.js";
import type { Image } from "../image-store.js";
import { readUse } from "../snapshot/use.js";
import { findImage, isUnreadable } from "./find.js";
import { pinnedImages } from "./pinned.js";

export interface RemoveParts extends SweepParts {
  readonly defaultRegistry: string;
  readonly pinned: readonly string[];
}

/** False when there was nothing to remove. `failedPrecondition` for a pinned image. */
export async function removeNames(parts: RemoveParts, reference: string, signal: AbortSignal): Promise<boolean> {
  return await parts.storeLock.run(async () => {
    const known = await parts.catalog.known();
    const found = findImage(known, reference, parts.defaultRegistry)?.image;
    if (found !== undefined) refusePinned(parts, known, found);
    // An image that can't be read, or is refused, has no id any more: it goes by name.
    const gone = (one: CatalogEntry): boolean =>
      found === undefined ? isUnreadable(one, reference, parts.defaultRegistry) : one.content?.id === found.id;
    const removed = await dropEntries(parts, gone);
    if (removed) parts.log.info({ image: reference, imageId: found?.id, names: found?.repoTags }, "image removed");
    return removed;
  }, signal);
}

/** Takes every image that is neither pinned nor used by a container; what it has taken. */
export async function pruneNames(parts: RemoveParts, signal: AbortSignal): Promise<Image[]> {
  return await parts.storeLock.run(async () => {
    const known = await parts.catalog.known();
    const pins = pinnedImages(known, parts.pinned, parts.defaultRegistry);
    const use = await readUse(parts.directory);
    const idle = [...known.images.values()].map(({ image }) => image).filter(({ id }) => !pins.has(id) && !use.has(id));
    const ids = new Set<Digest>(idle.map(({ id }) => id));
    await dropEntries(parts, ({ content }) => content !== undefined && ids.has(content.id));
    for (const { id, repoTags } of idle) parts.log.info({ imageId: id, names: repoTags }, "image pruned");
    return idle;
  }, signal);
}

async function dropEntries(parts: RemoveParts, gone: (entry: CatalogEntry) => boolean): Promise<boolean> {
  const { entries } = await parts.catalog.known();
  const kept = entries.filter((one) => !gone(one));
  if (kept.length === entries.length) return false;
  const left = kept.map(({ entry }) => entry);
  await withReserve(parts.directory, () => writeIndexFile(parts.directory.indexFile, left));
  return true;
}

function refusePinned(parts: RemoveParts, known: Known, image: Image): void {
  const pin = pinnedImages(known, parts.pinned, parts.defaultRegistry).get(image.id);
  if (pin === undefined) return;
  throw new RuntimeError("failedPrecondition", `image ${image.id} is pinned: image.pinned names "${pin}"`, {
    hint: "take it out of the configuration first",
  });
}
