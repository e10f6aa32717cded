import { stat } from "node:fs/promises";
import type { Logger } from "../../base/log.js";
import { SharedWork } from "../../base/shared-work.js";
import type { Native } from "../../native/addon.js";
import { Catalog } from "../content/catalog.js";
import { DiskWatch } from "../content/disk-watch.js";
import { writeIndexFile } from "../content/index-file.js";
import { Ingest } from "../content/ingest.js";
import { keepReserve } from "../content/reserve.js";
import { prepareStoreDirectory } from "../content/store-directory.js";
import { StoreLock } from "../content/store-lock.js";
import { clearDead, dropDoubtfulLayers, emptyTrash, sweep, type SweepParts } from "../gc/sweep.js";
import type { ImageStore, PullObserver } from "../image-store.js";
import { RegistryClient, type RegistryOptions } from "../registry/registry-client.js";
import { sweepProjects } from "../snapshot/disk/project-quota.js";
import { LayerFiles } from "../unpack/layer-files.js";
import { bootId, Layers } from "../unpack/layers.js";
import { Unpacker, unpackerPath } from "../unpack/unpacker.js";
import { checkPins } from "./pinned.js";
import { DiskImageStore, type DiskStoreParts } from "./disk-image-store.js";

export interface StoreOptions {
  /** The store's own directory, `<root>/images`; made when it is not there. */
  readonly directory: string;
  readonly native: Native;
  /** Directory with the unpacker. */
  readonly assetsDir: string;
  readonly log: Logger;
  /** The host of names without one: "docker.io". */
  readonly defaultRegistry: string;
  /** References of images that can't be removed. */
  readonly pinned: readonly string[];
  readonly registry: RegistryOptions;
  readonly pullObserver?: PullObserver | undefined;
}

/** Several processes may have one store open. What a dead one left half done is gone when this resolves. */
export async function openStore(options: StoreOptions): Promise<ImageStore> {
  const { native, log } = options;
  checkPins(options.pinned, options.defaultRegistry);
  const directory = await prepareStoreDirectory(options.directory);
  const storeLock = new StoreLock(directory.root, native);
  const catalog = new Catalog(directory, log);
  await clearDead({ directory, storeLock, native, log });
  const ingest = await Ingest.open(directory, native, storeLock);
  const program = unpackerPath(options.assetsDir);
  const unpacker = new Unpacker({ native, program, lockFd: ingest.lockFd, log });
  const layers = new Layers({ directory, ingest, unpacker, native, log });
  const layerFiles = new LayerFiles({ directory, ingest, unpacker, native, log, bootId: await bootId() });
  const parts: DiskStoreParts = {
    directory,
    storeLock,
    ingest,
    catalog,
    layers,
    layerFiles,
    native,
    log,
    registries: new RegistryClient(options.registry, log),
    downloads: new SharedWork(),
    defaultRegistry: options.defaultRegistry,
    pinned: options.pinned,
  };
  try {
    await dropDoubtfulLayers(parts, await bootId());
    await sweep(parts);
    await emptyTrash(parts);
    await keepReserve(directory);
    await sweepProjects(native, directory.containers);
    if ((await stat(directory.indexFile).catch(() => undefined)) === undefined) await writeFirstIndex(parts);
  } catch (thrown) {
    await ingest.close();
    await parts.registries.close();
    throw thrown;
  }
  const disk = new DiskWatch(ingest.freshPath("look"), options.registry.stallMs);
  return new DiskImageStore(parts, unpacker, disk, options.pullObserver);
}

/** A layout without its index is no layout to other tools. */
async function writeFirstIndex(parts: SweepParts): Promise<void> {
  await parts.storeLock.run(async () => {
    if ((await parts.catalog.known()).entries.length === 0) await writeIndexFile(parts.directory.indexFile, []);
  });
}
