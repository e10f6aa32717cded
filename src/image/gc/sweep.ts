/**
 * Takes out of the store what nothing reaches: not an image's name, not a container's tree, not a pull under way in any
 * process. Decided and moved aside under the store's lock, removed after it.
 */
import { randomBytes } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { isNotFound, messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { sleep } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Catalog } from "../content/catalog.js";
import { heldNames, isAbandoned, readHeldNames, type Ingest } from "../content/ingest.js";
import { isOwnerGone } from "../content/owner.js";
import type { StoreFolder } from "../content/store-folder.js";
import { keepReserve } from "../content/reserve.js";
import type { StoreLock } from "../content/store-lock.js";
import { removePlace } from "../snapshot/disk/place.js";
import { readLease } from "../snapshot/lease.js";
import { isTrustworthy } from "../unpack/layer-notes.js";

/** How long the last writers of a dead process may take to go; below what others wait for the store's lock. */
const lastWritersMs = 5000;
const pollMs = 5;

export interface SweepParts {
  readonly folder: StoreFolder;
  readonly storeLock: StoreLock;
  readonly ingest: Ingest;
  readonly catalog: Catalog;
  readonly native: Native;
  readonly log: Logger;
}

export async function sweep(parts: SweepParts, signal?: AbortSignal): Promise<void> {
  await parts.storeLock.run(async () => {
    const needed = await neededNames(parts);
    if (needed === null) return;
    await sweepBlobs(parts.folder, needed);
    await sweepLayers(parts, needed);
  }, signal);
  await emptyTrash(parts);
  await keepReserve(parts.folder);
}

/**
 * What processes that died have left, and the halves of small files, before anything is written: the disk may be full of
 * it.
 */
export async function clearDead(parts: Pick<SweepParts, "folder" | "storeLock" | "native" | "log">): Promise<void> {
  await parts.storeLock.run(async () => {
    for (const name of await readdir(parts.folder.root)) {
      if (name.endsWith(".tmp")) await rm(join(parts.folder.root, name), { force: true });
    }
    await discardDead(parts, undefined, lastWritersMs);
  });
  await emptyTrash(parts);
}

/** At open: layers that a power cut may have damaged. They are unpacked again when they are wanted. */
export async function dropDoubtfulLayers(parts: SweepParts, bootId: string): Promise<void> {
  await parts.storeLock.run(async () => {
    for (const name of await readdir(parts.folder.layers)) {
      const path = join(parts.folder.layers, name);
      if (await isTrustworthy(path, bootId)) continue;
      parts.log.warn({ layer: name }, "layer dropped: it may not have reached the disk");
      await discard(parts.folder, path);
    }
  });
}

/** Null when something can't be read that may need more: then nothing is judged. */
async function neededNames(parts: SweepParts): Promise<Set<string> | null> {
  // Holds first: one that is let go while this runs has left its name in the index, or its container's lease.
  const needed = new Set(await liveHolds(parts));
  for (const { entry, content, blobs } of (await parts.catalog.known()).entries) {
    if (blobs === undefined) {
      parts.log.warn({ image: entry.name, digest: entry.digest }, "nothing swept: an image can't be read");
      return null;
    }
    const layers = (content?.layers ?? []).map((layer) => layer.chainId);
    for (const name of heldNames({ blobs, layers })) needed.add(name);
  }
  for (const key of await readdir(parts.folder.containers)) {
    const lease = await readLease(join(parts.folder.containers, key)).catch(messageOf);
    if (typeof lease === "string") {
      parts.log.warn({ key, err: lease }, "nothing swept: a container's lease can't be read");
      return null;
    }
    for (const name of heldNames({ blobs: [], layers: lease.chainIds })) needed.add(name);
  }
  return needed;
}

/** Those of living processes, ours among them. */
async function liveHolds(parts: SweepParts): Promise<string[]> {
  await discardDead(parts, parts.ingest.path, 0);
  const names: string[] = [];
  for (const id of await readdir(parts.folder.ingest)) {
    names.push(...(await readHeldNames(join(parts.folder.ingest, id))));
  }
  return names;
}

/**
 * Folders in `ingest` whose process has gone; `own` is not asked. What it started, an unpacker above all, dies with it
 * but may need a moment for that, and has the lock until then.
 */
async function discardDead(
  parts: Pick<SweepParts, "folder" | "native">,
  own: string | undefined,
  waitMs: number,
): Promise<void> {
  for (const id of await readdir(parts.folder.ingest)) {
    const path = join(parts.folder.ingest, id);
    if (path === own || !(await isDead(parts.native, path, waitMs))) continue;
    await discard(parts.folder, path);
  }
}

async function isDead(native: Native, path: string, waitMs: number): Promise<boolean> {
  const limit = AbortSignal.timeout(waitMs);
  for (;;) {
    const abandoned = await isAbandoned(native, path);
    if (abandoned || waitMs === 0 || limit.aborted || !(await isOwnerGone(basename(path)))) return abandoned;
    await sleep(pollMs, limit).catch(() => undefined);
  }
}

async function sweepBlobs(folder: StoreFolder, needed: ReadonlySet<string>): Promise<void> {
  for (const hex of await readdir(folder.blobs)) {
    if (!needed.has(`hold-blob-${hex}`)) await rm(join(folder.blobs, hex), { force: true, recursive: true });
  }
}

async function sweepLayers(parts: SweepParts, needed: ReadonlySet<string>): Promise<void> {
  for (const hex of await readdir(parts.folder.layers)) {
    if (!needed.has(`hold-layer-${hex}`)) await discard(parts.folder, join(parts.folder.layers, hex));
  }
}

/** Moves a folder out of sight; `emptyTrash` takes it off the disk. */
export async function discard(folder: StoreFolder, path: string): Promise<void> {
  try {
    await rename(path, join(folder.trash, `${basename(path)}-${randomBytes(6).toString("hex")}`));
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

/** Several at a time, in one process or in several, don't disturb each other. */
export async function emptyTrash(parts: Pick<SweepParts, "folder" | "native" | "log">): Promise<void> {
  for (const name of await readdir(parts.folder.trash)) {
    try {
      await removePlace(parts.native, join(parts.folder.trash, name), parts.folder.trash);
    } catch (thrown) {
      parts.log.warn(
        { folder: name, err: messageOf(thrown) },
        "trash of the image store not removed; the next sweep tries again",
      );
    }
  }
}
