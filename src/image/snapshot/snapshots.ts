/** Containers' writable trees over images' layers. */
import { chmod, chown, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { syncDirectory } from "../../base/record-file.js";
import type { ImageLayer } from "../content/catalog.js";
import { layerRoot, type StoreDirectory } from "../content/store-directory.js";
import { discard, removeAside, type SweepParts } from "../gc/sweep.js";
import type { Image, SnapshotWanted, WritableSnapshot } from "../image-store.js";
import { requireBlob, type StoreParts } from "../store/bring-in.js";
import { declaredVolumePath, makeDeclaredVolumes } from "./declared-volumes.js";
import type { BoundBy } from "./disk/bound.js";
import { diskFilePath, unmountDisk } from "./disk/disk-file.js";
import { makePlace, placeIn, removePlace } from "./disk/place.js";
import { readLease, writeLease } from "./lease.js";

/** There all at once: a container's directory without its lease is never seen. */
export async function prepareSnapshot(
  parts: StoreParts & SweepParts,
  key: string,
  image: Image,
  { volumes = [], declared = [], bound, layerFiles = false }: SnapshotWanted,
  signal: AbortSignal,
): Promise<WritableSnapshot> {
  const target = containerPath(parts.directory, key);
  const images = [image, ...volumes];
  const chainIds = [...new Set(images.flatMap((one) => one.chainIds))];
  const hold = await parts.ingest.hold({ blobs: [], layers: chainIds }, signal);
  try {
    for (const one of images)
      await parts.layers.ensure(await imageLayers(parts, one), requireBlob(parts.directory), signal);
    const lowers = lowersOf(parts.directory, image.chainIds);
    const files = layerFiles ? await parts.layerFiles.of(image.chainIds, signal) : undefined;
    const temporary = parts.ingest.freshPath("container");
    await mkdir(temporary, { mode: 0o700 });
    let boundBy: BoundBy;
    try {
      boundBy = await makePlace(parts.native, temporary, bound, signal);
      const place = placeIn(temporary, boundBy);
      await makeWritable(place, lowers);
      const view = readOnlyLowersOf(parts.directory, image.chainIds);
      await makeDeclaredVolumes(parts.native, { place, view: join(temporary, "view") }, view, declared, signal);
      await writeLease(temporary, { imageIds: images.map(({ id }) => id), chainIds });
      await rename(temporary, target); // with what is mounted in it
    } catch (thrown) {
      await removePlace(parts.native, temporary, parts.directory.containers);
      throw taken(thrown) ? new RuntimeError("alreadyExists", `there is a snapshot for "${key}" already`) : thrown;
    }
    await syncDirectory(parts.directory.containers);
    const volumeLowers = volumes.map((one) => readOnlyLowersOf(parts.directory, one.chainIds));
    const place = placeIn(target, boundBy);
    const { written, upper, work } = writtenIn(place);
    return {
      ...{ lowers, upper, work, written, layerFiles: files, volumeLowers, boundBy },
      declared: declared.map((_path, index) => declaredVolumePath(place, index)),
      measured: boundBy === "file" ? diskFilePath(target) : upper,
    };
  } finally {
    await hold.release();
  }
}

/**
 * `orphaned`: the image had gone before, so its layers may be for the sweep now. `gone`: it is off the disk, and not still
 * in the trash.
 */
export async function removeSnapshot(
  parts: SweepParts,
  key: string,
  signal: AbortSignal,
): Promise<{ readonly orphaned: boolean; readonly gone: boolean }> {
  const path = containerPath(parts.directory, key);
  const lease = await readLease(path).catch(() => undefined);
  // Under the lock: a sweep may be reading leases.
  const aside = await parts.storeLock.run(() => discard(parts.directory, path), signal);
  await syncDirectory(parts.directory.containers);
  const gone = aside === undefined || (await removeAside(parts, aside));
  const { images } = await parts.catalog.known();
  return { orphaned: lease?.imageIds.some((id) => !images.has(id)) ?? false, gone };
}

/** All of it that is wanted is shared: the host sees it no more. */
export async function detachSnapshot(parts: SweepParts, key: string): Promise<void> {
  await unmountDisk(parts.native, containerPath(parts.directory, key));
}

/** Whoever still uses it is told EIO; what it has of its disk's memory is not written there first. */
export async function abandonSnapshot(parts: SweepParts, key: string): Promise<void> {
  await parts.native.abandonFileDisk(diskFilePath(containerPath(parts.directory, key)));
}

export async function listSnapshots(directory: StoreDirectory): Promise<string[]> {
  return await readdir(directory.containers);
}

/** Uppermost first; an image without layers stands on an empty directory. */
export function lowersOf(directory: StoreDirectory, chainIds: readonly Digest[]): string[] {
  if (chainIds.length === 0) return [directory.empty];
  return chainIds.map((chainId) => layerRoot(directory, chainId)).reverse();
}

/** An overlay without an upper wants two lowers at least: the empty directory below one alone changes nothing. */
function readOnlyLowersOf(directory: StoreDirectory, chainIds: readonly Digest[]): string[] {
  const lowers = lowersOf(directory, chainIds);
  return lowers.length > 1 ? lowers : [...lowers, directory.emptyBelow];
}

/** The merged root is the upper's: it gets the image's mode and owner. */
async function makeWritable(place: string, lowers: readonly string[]): Promise<void> {
  const { written, upper, work } = writtenIn(place);
  const top = await stat(lowers[0] ?? "/");
  await mkdir(written, { mode: 0o700 });
  await mkdir(upper);
  await chown(upper, top.uid, top.gid);
  await chmod(upper, top.mode & 0o7777);
  await mkdir(work, { mode: 0o700 });
}

function writtenIn(place: string): Pick<WritableSnapshot, "written" | "upper" | "work"> {
  const written = join(place, "written");
  return { written, upper: join(written, "upper"), work: join(written, "work") };
}

async function imageLayers(parts: StoreParts, image: Image): Promise<readonly ImageLayer[]> {
  const found = (await parts.catalog.known()).images.get(image.id);
  if (found !== undefined) return found.content.layers;
  throw new RuntimeError("notFound", `image ${image.id} is not in the store any more`, { hint: "pull it again" });
}

function containerPath(directory: StoreDirectory, key: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(key)) {
    throw new RuntimeError("invalidArgument", `"${key.slice(0, 130)}" can't be the key of a snapshot`);
  }
  return join(directory.containers, key);
}

function taken(thrown: unknown): boolean {
  const errno = errnoOf(thrown);
  return errno === "ENOTEMPTY" || errno === "EEXIST";
}
