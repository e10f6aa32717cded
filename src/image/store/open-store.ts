import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import type { Native } from "../../native/addon.js";
import { importArchive } from "../archive/import-archive.js";
import { Catalog, type CatalogEntry } from "../content/catalog.js";
import { writeIndexFile } from "../content/index-file.js";
import { Ingest } from "../content/ingest.js";
import { prepareStoreFolder } from "../content/store-folder.js";
import { StoreLock } from "../content/store-lock.js";
import { dropDoubtfulLayers, emptyTrash, sweep, type SweepParts } from "../gc/sweep.js";
import type { FsUsage, Image, ImageStore, PullWatch, RegistryAuth, WritableSnapshot } from "../image-store.js";
import { formatReference, parseReference } from "../reference/reference.js";
import { RegistryClient, type RegistryOptions } from "../registry/registry-client.js";
import { listSnapshots, lowersOf, prepareSnapshot, removeSnapshot } from "../snapshot/snapshots.js";
import { readImageFile } from "../snapshot/read-file.js";
import { Usage } from "../snapshot/usage.js";
import { bootId, Layers } from "../unpack/layers.js";
import { UnpackPool } from "../unpack/unpack-pool.js";
import { findImage, isUnreadable, type Known } from "./find.js";
import { pullImage, type PullParts } from "./pull.js";
import { SharedJobs } from "./shared-jobs.js";

export interface StoreOptions {
  /** The store's own folder, `<root>/images`; made when it is not there. */
  readonly folder: string;
  readonly native: Native;
  /** Where worker threads find the addon. */
  readonly assetsDir: string;
  readonly log: Logger;
  /** The host of names without one: "docker.io". */
  readonly defaultRegistry: string;
  readonly registry: RegistryOptions;
}

const unpackWorkers = 2;

/** Several processes may have one store open. What a dead one left half done is gone when this resolves. */
export async function openStore(options: StoreOptions): Promise<ImageStore> {
  const { native, log } = options;
  const folder = await prepareStoreFolder(options.folder);
  const storeLock = new StoreLock(folder.root, native);
  const catalog = new Catalog(folder, log);
  const ingest = await Ingest.open(folder, native, storeLock);
  const pool = new UnpackPool({ assetsDir: options.assetsDir }, unpackWorkers);
  const layers = new Layers({ folder, ingest, pool, native, log });
  const parts: PullParts & SweepParts = {
    folder,
    storeLock,
    ingest,
    catalog,
    layers,
    native,
    log,
    registries: new RegistryClient(options.registry, log),
    downloads: new SharedJobs(),
  };
  try {
    await dropDoubtfulLayers(parts, await bootId());
    await sweep(parts);
    if ((await stat(folder.indexFile).catch(() => undefined)) === undefined) await writeFirstIndex(parts);
  } catch (thrown) {
    await ingest.close();
    await parts.registries.close();
    throw thrown;
  }
  return new OpenImageStore(parts, pool, options.defaultRegistry);
}

/** A layout without its index is no layout to other tools. */
async function writeFirstIndex(parts: SweepParts): Promise<void> {
  await parts.storeLock.run(async () => {
    if (parts.catalog.entries().length === 0) await writeIndexFile(parts.folder.indexFile, []);
  });
}

class OpenImageStore implements ImageStore {
  readonly #parts: PullParts & SweepParts;
  readonly #pool: UnpackPool;
  readonly #defaultRegistry: string;
  readonly #usage: Usage;
  readonly #pulls = new SharedJobs<string, Digest>();
  #closing: Promise<void> | undefined;

  constructor(parts: PullParts & SweepParts, pool: UnpackPool, defaultRegistry: string) {
    this.#parts = parts;
    this.#pool = pool;
    this.#defaultRegistry = defaultRegistry;
    this.#usage = new Usage(parts.folder, parts.native);
  }

  async pull(
    reference: string,
    auth: RegistryAuth | undefined,
    signal: AbortSignal,
    watch?: PullWatch,
  ): Promise<Image> {
    const parsed = parseReference(reference, this.#defaultRegistry);
    const key = `${formatReference(parsed)} ${fingerprint(auth)}`;
    const id = await this.#pulls.run(key, signal, async (jobSignal) => {
      const begunMs = performance.now();
      return await this.#changing(async () => {
        const pulled = await pullImage({ ...this.#parts, watch }, parsed, auth, jobSignal);
        const pullMs = Math.round(performance.now() - begunMs);
        this.#parts.log.info({ image: formatReference(parsed), imageId: pulled, pullMs }, "image pulled");
        return pulled;
      });
    });
    return this.#require(id);
  }

  async importArchive(path: string, signal: AbortSignal): Promise<Image[]> {
    const ids = await this.#changing(() => importArchive(this.#parts, path, this.#defaultRegistry, signal));
    this.#parts.log.info({ archive: path, imageIds: ids }, "images imported");
    return ids.map((id) => this.#require(id));
  }

  find(reference: string): Image | undefined {
    return findImage(this.#known(), reference, this.#defaultRegistry)?.image;
  }

  list(): Image[] {
    return [...this.#parts.catalog.images().values()].map(({ image }) => image);
  }

  async remove(reference: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { storeLock, catalog, folder, log } = this.#parts;
    const removed = await storeLock.run(async () => {
      const found = findImage(this.#known(), reference, this.#defaultRegistry);
      const entries = catalog.entries();
      // An image that can't be read has no id any more: it goes by name.
      const gone = (one: CatalogEntry): boolean =>
        found === undefined ? isUnreadable(one, reference, this.#defaultRegistry) : one.content?.id === found.image.id;
      const kept = entries.filter((one) => !gone(one));
      if (kept.length === entries.length) return false;
      await writeIndexFile(
        folder.indexFile,
        kept.map(({ entry }) => entry),
      );
      log.info({ image: reference, imageId: found?.image.id, names: found?.image.repoTags }, "image removed");
      return true;
    });
    if (removed) await this.#sweep();
  }

  async prepareSnapshot(key: string, image: Image, signal: AbortSignal): Promise<WritableSnapshot> {
    return await prepareSnapshot(this.#parts, key, image, signal);
  }

  async removeSnapshot(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { orphaned } = await removeSnapshot(this.#parts, key);
    if (orphaned) await this.#sweep();
    this.#usage.forget();
  }

  async listSnapshots(): Promise<string[]> {
    return await listSnapshots(this.#parts.folder);
  }

  async readFile(image: Image, path: string): Promise<Buffer | null> {
    return await readImageFile(lowersOf(this.#parts.folder, image.chainIds), path);
  }

  async imageUsage(): Promise<FsUsage> {
    return await this.#usage.images();
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
    await this.#pulls.close();
    await this.#parts.downloads.close();
    await this.#parts.layers.close();
    await this.#pool.close();
    await this.#parts.registries.close();
    await this.#parts.ingest.close();
  }

  #known(): Known {
    return { entries: this.#parts.catalog.entries(), images: this.#parts.catalog.images() };
  }

  #require(id: Digest): Image {
    const found = this.#parts.catalog.images().get(id);
    if (found !== undefined) return found.image;
    throw new RuntimeError("notFound", `image ${id} was removed right after it came`, { hint: "pull it again" });
  }

  /** What a failed pull wrote goes at once. */
  async #changing<T>(change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (thrown) {
      await this.#sweep();
      throw thrown;
    } finally {
      this.#usage.forget();
    }
  }

  async #sweep(): Promise<void> {
    this.#usage.forget();
    try {
      await sweep(this.#parts);
    } catch (thrown) {
      this.#parts.log.warn({ err: messageOf(thrown) }, "image store not swept; the next removal or start tries again");
      await emptyTrash(this.#parts);
    }
  }
}

/** Callers with other credentials don't share a pull. */
function fingerprint(auth: RegistryAuth | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify(auth ?? null))
    .digest("hex");
}
