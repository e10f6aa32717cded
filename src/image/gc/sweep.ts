/**
 * Takes out of the store what nothing reaches: not an image's name, not a container's tree, not a pull under way in any
 * process. Decided and moved aside under the store's lock; `emptyTrash`, or a `Trash`, takes it off the disk.
 */
import { randomBytes } from "node:crypto";
import type { Dirent } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { errnoOf, isNotFound, messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { sleep } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Catalog } from "../content/catalog.js";
import { heldNames, isAbandoned, readHeldNames, type Ingest } from "../content/ingest.js";
import { isOwnerGone } from "../content/owner.js";
import type { StoreDirectory } from "../content/store-directory.js";
import type { StoreLock } from "../content/store-lock.js";
import { removePlace } from "../snapshot/disk/place.js";
import { readLease } from "../snapshot/lease.js";
import { isTrustworthy } from "../unpack/layer-notes.js";

/** How long the last writers of a dead process may take to go; below what others wait for the store's lock. */
const lastWritersMs = 5000;
const pollMs = 5;

export interface SweepParts {
  readonly directory: StoreDirectory;
  readonly storeLock: StoreLock;
  readonly ingest: Ingest;
  readonly catalog: Catalog;
  readonly native: Native;
  readonly log: Logger;
}

type TrashParts = Pick<SweepParts, "directory" | "native" | "log">;

export async function sweep(parts: SweepParts, signal?: AbortSignal): Promise<void> {
  await parts.storeLock.run(async () => {
    const needed = await neededNames(parts);
    if (needed === null) return;
    await sweepBlobs(parts.directory, needed);
    await sweepLayers(parts, needed);
  }, signal);
}

/**
 * What processes that died have left, and the halves of small files, before anything is written: the disk may be full of
 * it.
 */
export async function clearDead(parts: Pick<SweepParts, "directory" | "storeLock" | "native" | "log">): Promise<void> {
  await parts.storeLock.run(async () => {
    for (const name of await readdir(parts.directory.root)) {
      if (name.endsWith(".tmp")) await rm(join(parts.directory.root, name), { force: true });
    }
    await discardDead(parts, undefined, lastWritersMs);
  });
  await emptyTrash(parts);
}

/** At open: layers that a power cut may have damaged. They are unpacked again when they are wanted. */
export async function dropDoubtfulLayers(parts: SweepParts, bootId: string): Promise<void> {
  await parts.storeLock.run(async () => {
    for (const name of await readdir(parts.directory.layers)) {
      const path = join(parts.directory.layers, name);
      if (await isTrustworthy(path, bootId)) continue;
      parts.log.warn({ layer: name }, "layer dropped: it may not have reached the disk");
      await discard(parts.directory, path);
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
  for (const key of await readdir(parts.directory.containers)) {
    const lease = await readLease(join(parts.directory.containers, key)).catch(messageOf);
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
  for (const id of await readdir(parts.directory.ingest)) {
    names.push(...(await readHeldNames(join(parts.directory.ingest, id))));
  }
  return names;
}

/**
 * Directories in `ingest` whose process has gone; `own` is not asked. What it started, an unpacker above all, dies with it
 * but may need a moment for that, and has the lock until then.
 */
async function discardDead(
  parts: Pick<SweepParts, "directory" | "native">,
  own: string | undefined,
  waitMs: number,
): Promise<void> {
  for (const id of await readdir(parts.directory.ingest)) {
    const path = join(parts.directory.ingest, id);
    if (path === own || !(await isDead(parts.native, path, waitMs))) continue;
    await discard(parts.directory, path);
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

async function sweepBlobs(directory: StoreDirectory, needed: ReadonlySet<string>): Promise<void> {
  for (const hex of await readdir(directory.blobs)) {
    if (!needed.has(`hold-blob-${hex}`)) await discard(directory, join(directory.blobs, hex));
  }
}

async function sweepLayers(parts: SweepParts, needed: ReadonlySet<string>): Promise<void> {
  for (const hex of await readdir(parts.directory.layers)) {
    if (!needed.has(`hold-layer-${hex}`)) await discard(parts.directory, join(parts.directory.layers, hex));
  }
}

/**
 * Moves a file or directory out of sight, to where it is then; undefined where there is none. On a disk without space for
 * its new name it goes at once.
 */
export async function discard(directory: StoreDirectory, path: string): Promise<string | undefined> {
  const aside = join(directory.trash, `${basename(path)}-${randomBytes(6).toString("hex")}`);
  try {
    await rename(path, aside);
    return aside;
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    if (errnoOf(thrown) !== "ENOSPC") throw thrown;
    await rm(path, { force: true, recursive: true });
    return undefined;
  }
}

/**
 * False where some of it could not be removed, or the signal came. Several at a time, in one process or in several, don't
 * disturb each other.
 */
export async function emptyTrash(parts: TrashParts, signal?: AbortSignal): Promise<boolean> {
  let whole = true;
  for (const entry of await readdir(parts.directory.trash, { withFileTypes: true })) {
    if (signal?.aborted === true) return false;
    if (!(await removeAside(parts, join(parts.directory.trash, entry.name), entry))) whole = false;
  }
  return whole;
}

/** Takes a directory that was moved aside off the disk; false where it could not, which the log says. */
export async function removeAside(parts: TrashParts, path: string, entry?: Dirent): Promise<boolean> {
  try {
    if (entry?.isDirectory() === false) await rm(path, { force: true });
    else await removePlace(parts.native, path, parts.directory.trash);
    return true;
  } catch (thrown) {
    parts.log.warn(
      { directory: basename(path), err: messageOf(thrown) },
      "trash of the image store not removed; it is tried again",
    );
    return false;
  }
}
