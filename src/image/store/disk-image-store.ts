import { createHash } from "node:crypto";
import { takeBack } from "../../base/cleanup.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import { SharedWork } from "../../base/shared-work.js";
import { step } from "../../base/stage.js";
import { exportArchive } from "../archive/export-archive.js";
import { importArchive } from "../archive/import-archive.js";
import { readBlob } from "../content/blobs.js";
import { type Known } from "../content/catalog.js";
import { parseImageConfig } from "../content/image-config.js";
import type { DiskWatch } from "../content/disk-watch.js";
import type {
  FsUsage,
  Image,
  ImageConfig,
  ImageStore,
  PullObserver,
  PullWatch,
  RegistryAuth,
  SnapshotWanted,
  WritableSnapshot,
} from "../image-store.js";
import { formatReference, parseReference } from "../reference/reference.js";
import {
  abandonSnapshot,
  detachSnapshot,
  listSnapshots,
  lowersOf,
  prepareSnapshot,
  removeSnapshot,
} from "../snapshot/snapshots.js";
import { readImageFile } from "../snapshot/read-file.js";
import { readUse } from "../snapshot/use.js";
import { Usage } from "../snapshot/usage.js";
import type { Unpacker } from "../unpack/unpacker.js";
import { findImage } from "./find.js";
import { pinnedImages } from "./pinned.js";
import { observed } from "./observed.js";
import { pullImage, type PullParts } from "./pull.js";
import { pruneNames, removeNames, type RemoveParts } from "./remove.js";
import { Sweeps } from "./sweeps.js";
import { fullDisk, isFullDisk, isShortOfSpace, SpaceNeed } from "./space.js";

/** What an open store has; whoever has opened it hands that over. */
export type DiskStoreParts = PullParts & RemoveParts;

export class DiskImageStore implements ImageStore {
  readonly #parts: DiskStoreParts;
  readonly #unpacker: Unpacker;
  readonly #usage: Usage;
  readonly #sweeps: Sweeps;
  readonly #disk: DiskWatch;
  readonly #pulls = new SharedWork<string, Image>();
  readonly #observer: PullObserver | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: DiskStoreParts, unpacker: Unpacker, disk: DiskWatch, observer: PullObserver | undefined) {
    this.#disk = disk;
    this.#observer = observer;
    this.#parts = parts;
    this.#unpacker = unpacker;
    this.#usage = new Usage(parts.directory, parts.native);
    this.#sweeps = new Sweeps(
      parts,
      (what, caller, work) => this.#onDisk(what, caller, work),
      () => {
        this.#usage.forget();
      },
    );
  }

  async pull(
    reference: string,
    auth: RegistryAuth | undefined,
    signal: AbortSignal,
    watch?: PullWatch,
  ): Promise<Image> {
    const parsed = parseReference(reference, this.#parts.defaultRegistry);
    const key = `${formatReference(parsed)} ${fingerprint(auth)}`;
    return await this.#pulls.run(key, signal, async (jobSignal) => {
      const begunMs = performance.now();
      const pull = async (seen: PullWatch | undefined): Promise<Image> =>
        await this.#changing(`pull ${formatReference(parsed)}`, jobSignal, async (space, limited) => {
          const pulled = await pullImage({ ...this.#parts, watch: seen, space }, parsed, auth, limited);
          const pullMs = Math.round(performance.now() - begunMs);
          this.#parts.log.info({ image: formatReference(parsed), imageId: pulled, pullMs }, "image pulled");
          const image = await this.#require(pulled);
          this.#parts.layerFiles.ahead(image.chainIds);
          return image;
        });
      return await observed(this.#observer, parsed.host, watch, pull);
    });
  }

  async importArchive(path: string, signal: AbortSignal): Promise<Image[]> {
    const ids = await this.#changing(`import ${path}`, signal, (space, limited) =>
      importArchive({ ...this.#parts, space }, path, this.#parts.defaultRegistry, limited),
    );
    this.#parts.log.info({ archive: path, imageIds: ids }, "images imported");
    return await Promise.all(ids.map((id) => this.#require(id)));
  }

  async exportArchive(path: string, references: readonly string[], signal: AbortSignal): Promise<Image[]> {
    const known = await this.#parts.catalog.known();
    const ids = new Set(
      references.map((reference) => {
        const found = findImage(known, reference, this.#parts.defaultRegistry);
        if (found !== undefined) return found.image.id;
        throw new RuntimeError("notFound", `image "${reference}" is not here`, { hint: "pull it first" });
      }),
    );
    const entries = known.entries.filter(({ content }) => content !== undefined && ids.has(content.id));
    await exportArchive(this.#parts, path, entries, signal);
    return (await this.list()).filter(({ id }) => ids.has(id));
  }

  async find(reference: string): Promise<Image | undefined> {
    const known = await this.#parts.catalog.known();
    const found = findImage(known, reference, this.#parts.defaultRegistry)?.image;
    return found === undefined ? undefined : this.#withPins(known, [found])[0];
  }

  async list(): Promise<Image[]> {
    const known = await this.#parts.catalog.known();
    const images = [...known.images.values()].map(({ image }) => image);
    return this.#withPins(known, images);
  }

  async config(image: Image): Promise<ImageConfig> {
    return parseImageConfig(await readBlob(this.#parts.directory, image.id)).config;
  }

  async readConfig(image: Image): Promise<string> {
    return (await readBlob(this.#parts.directory, image.id)).toString("utf8");
  }

  async inUse(): Promise<ReadonlyMap<Digest, readonly string[]>> {
    return await readUse(this.#parts.directory);
  }

  async remove(reference: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const removed = await this.#onDisk("drop the image's names", signal, (limited) =>
      removeNames(this.#parts, reference, limited),
    );
    if (!removed && !this.#sweeps.isOwed) return;
    this.#usage.forget();
    await this.#sweeps.run(signal, () => isShortOfSpace(this.#parts.directory));
  }

  async prune(signal: AbortSignal): Promise<Image[]> {
    signal.throwIfAborted();
    const pruned = await pruneNames(this.#parts, signal);
    await this.#sweeps.run(signal);
    return pruned;
  }

  async prepareSnapshot(
    key: string,
    image: Image,
    signal: AbortSignal,
    wanted: SnapshotWanted = {},
  ): Promise<WritableSnapshot> {
    return await prepareSnapshot(this.#parts, key, image, wanted, signal);
  }

  async detachSnapshot(key: string): Promise<void> {
    await detachSnapshot(this.#parts, key);
  }

  async abandonSnapshot(key: string): Promise<void> {
    await abandonSnapshot(this.#parts, key);
  }

  async removeSnapshot(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { orphaned, gone } = await removeSnapshot(this.#parts, key, signal);
    if (orphaned) await this.#sweeps.begin(signal);
    else if (!gone) this.#sweeps.trash.begin();
    this.#usage.forget();
  }

  async listSnapshots(): Promise<string[]> {
    return await listSnapshots(this.#parts.directory);
  }

  async readFile(image: Image, path: string): Promise<Buffer | null> {
    return await readImageFile(lowersOf(this.#parts.directory, image.chainIds), path);
  }

  async imageUsage(): Promise<FsUsage> {
    return await this.#usage.images();
  }

  get containersDirectory(): string {
    return this.#parts.directory.containers;
  }

  async containerUsage(): Promise<FsUsage> {
    return await this.#usage.containers();
  }

  /** A second call waits for the first. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    const why = "the image store is being closed";
    await this.#pulls.close(why);
    await this.#parts.downloads.close(why);
    await this.#parts.layers.close();
    await this.#parts.layerFiles.close(why);
    await this.#unpacker.close();
    await this.#parts.registries.close();
    await this.#sweeps.trash.close();
    await this.#parts.ingest.close();
  }

  #withPins(known: Known, images: readonly Image[]): Image[] {
    const pins = pinnedImages(known, this.#parts.pinned, this.#parts.defaultRegistry);
    return images.map((image) => ({ ...image, pinned: pins.has(image.id) }));
  }

  async #require(id: Digest): Promise<Image> {
    const found = await this.find(id);
    if (found !== undefined) return found;
    throw new RuntimeError("notFound", `image ${id} was removed right after it came`, { hint: "pull it again" });
  }

  /** What a failed pull wrote goes at once. */
  async #changing<T>(
    what: string,
    caller: AbortSignal,
    change: (space: SpaceNeed, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    let space = new SpaceNeed();
    const attempt = async (): Promise<T> => await this.#onDisk(what, caller, (signal) => change(space, signal));
    try {
      const freeing = this.#sweeps.trash.isBusy();
      return await attempt().catch(async (thrown: unknown) => {
        if (!isFullDisk(thrown) || !(freeing || this.#sweeps.trash.isBusy())) throw thrown;
        this.#parts.log.debug({ what, err: messageOf(thrown) }, "no space: waits for the space of what was removed");
        await this.#sweeps.trash.gone(caller);
        space = new SpaceNeed();
        return await attempt();
      });
    } catch (thrown) {
      if (!isFullDisk(thrown)) {
        await takeBack(() => this.#sweeps.run());
        throw thrown;
      }
      const neededBytes = await space.leastBytes(this.#parts.directory);
      await this.#sweeps.run();
      throw await fullDisk(what, neededBytes, this.#parts.directory, thrown);
    } finally {
      this.#usage.forget();
    }
  }

  /** A step that ends with its caller, and when the disk does not answer. One that is dead already is found out by the look of all. */
  async #onDisk<T>(what: string, caller: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#disk.during(caller, (signal) =>
      step(what, signal, async (limited) => {
        await this.#parts.catalog.known();
        return await work(limited);
      }),
    );
  }
}

/** Callers with other credentials don't share a pull. */
function fingerprint(auth: RegistryAuth | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify(auth ?? null))
    .digest("hex");
}
