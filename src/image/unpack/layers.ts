/** Unpacked layers: each chain once, however many images and pulls want it. */
import { execFile } from "node:child_process";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { takeBack } from "../../base/cleanup.js";
import { codeOf, errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { shortId, type Digest } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { orAborted } from "../../base/or-aborted.js";
import { SharedWork } from "../../base/shared-work.js";
import { anyOf, neverAborted } from "../../base/signals.js";
import { step } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import { sentBlob, type SentBlob } from "../content/arrivals.js";
import type { ImageLayer } from "../content/catalog.js";
import type { Ingest } from "../content/ingest.js";
import type { Descriptor } from "../content/manifest.js";
import { blobPath, layerPath, layerRoot, type StoreDirectory } from "../content/store-directory.js";
import { isFullDisk } from "../store/space.js";
import { layerNotesFile, syncedFile, writeLayerNotes } from "./layer-notes.js";
import type { Unpacker } from "./unpacker.js";

export interface LayersParts {
  readonly directory: StoreDirectory;
  readonly ingest: Ingest;
  readonly unpacker: Unpacker;
  readonly native: Native;
  readonly log: Logger;
}

/** Brings a layer's blob into the store, or finds it there. */
export interface ProvideBlob {
  (blob: Descriptor, signal: AbortSignal): Promise<void>;
  /** The registry's host, where it is one: who wants the same from elsewhere doesn't wait for it. */
  readonly from?: string;
}

/** The layers of one pull, or of one import. */
type Owner = symbol;

interface WantedLayer {
  readonly layer: ImageLayer;
  /** Uppermost first. */
  readonly lowers: readonly ImageLayer[];
  /** Settles when those are there. */
  readonly below: Promise<void>;
  readonly provide: ProvideBlob;
  readonly owner: Owner;
}

const parallelLayers = 3;
/** Unpackers ahead of a download: one costs little while it waits, and shares the processors with all else when it works. */
const maxAhead = 6;
/** Unpackers whose blob is there, which work until they are done. */
const maxWhole = 4;
const closeWaitMs = 10_000;

export class Layers {
  readonly #parts: LayersParts;
  readonly #jobs = new SharedWork<SentBlob, void>();
  /** One that waits for its download never keeps back one whose blob is there: it takes a place of its own, or none. */
  readonly #ahead = new Limiter<Owner>({ inAll: maxAhead });
  readonly #whole = new Limiter<Owner>({ inAll: maxWhole });
  /** Unpacked and not yet known to be on the disk. */
  readonly #unsynced = new Set<Digest>();
  #syncing: Promise<void> | undefined;
  #closed = false;

  constructor(parts: LayersParts) {
    this.#parts = parts;
  }

  /**
   * Resolves once every layer is there; the caller holds them. Fails with the first failure, when all has ended that it
   * began.
   */
  async ensure(layers: readonly ImageLayer[], provide: ProvideBlob, signal: AbortSignal): Promise<void> {
    const limit = new Limiter<Owner>({ inAll: parallelLayers });
    const owner = Symbol("layers of one image");
    const failed = new AbortController();
    const both = anyOf(signal, failed.signal);
    const failures: unknown[] = [];
    const all: Promise<void>[] = [];
    let below = Promise.resolve();
    for (const [position, layer] of layers.entries()) {
      const lowers = layers.slice(0, position).reverse();
      const belowThis = below;
      const own = limit
        .run(owner, neverAborted, () => this.#ensureOne({ layer, lowers, below: belowThis, provide, owner }, both))
        .then(() => belowThis);
      below = own.catch((thrown: unknown) => {
        failures.push(thrown);
        failed.abort();
        throw thrown;
      });
      below.catch(() => undefined);
      all.push(below);
    }
    await Promise.allSettled(all);
    if (failures.length === 0) return;
    throw failures.find((failure) => codeOf(failure) !== "canceled") ?? failures[0];
  }

  /**
   * Makes durable what was unpacked, when there is time: until then a layer is trusted only in this boot, and after a
   * power cut it is unpacked again from its blob.
   */
  sync(): void {
    if (this.#closed || this.#unsynced.size === 0) return;
    this.#syncing ??= this.#sync().finally(() => {
      this.#syncing = undefined;
      this.sync();
    });
  }

  /** Waits a little for the disk; what is not marked then is unpacked again after a power cut or a reboot. */
  async close(): Promise<void> {
    await this.#jobs.close("the image store is being closed");
    await Promise.race([this.#syncing, delay(closeWaitMs, undefined, { ref: false })]);
    this.#closed = true;
  }

  async #sync(): Promise<void> {
    const done = [...this.#unsynced];
    this.#unsynced.clear();
    try {
      await promisify(execFile)("sync", ["-f", this.#parts.directory.layers]); // syncfs(2), from coreutils
    } catch (thrown) {
      this.#parts.log.warn({ err: messageOf(thrown) }, "layers not synced to the disk");
      return;
    }
    for (const chainId of done) {
      if (this.#isClosed()) return;
      // Removed in the meantime: nothing to mark.
      await writeFile(join(layerPath(this.#parts.directory, chainId), syncedFile), "").catch(() => undefined);
    }
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  async #ensureOne(wanted: WantedLayer, signal: AbortSignal): Promise<void> {
    const { chainId } = wanted.layer;
    if (await hasLayer(this.#parts.directory, chainId)) return;
    const from = wanted.provide.from ?? "";
    await this.#jobs.run(sentBlob(chainId, from), signal, (jobSignal) => this.#build(wanted, jobSignal));
  }

  async #build({ layer, lowers, below, provide, owner }: WantedLayer, signal: AbortSignal): Promise<void> {
    const { directory, ingest, native, log } = this.#parts;
    if (await hasLayer(directory, layer.chainId)) return; // between the look and the job
    const begunMs = performance.now();
    const failed = new AbortController();
    const provided = step("download a layer", anyOf(signal, failed.signal), (limited) =>
      provide(layer.descriptor, limited),
    );
    provided.catch(() => undefined); // thrown where it is waited for
    const temporary = ingest.freshPath("layer");
    try {
      const opaqueDirectories = await step("unpack a layer", signal, (limited) =>
        this.#unpack(layer, provided, { temporary, owner, from: provide.from ?? "" }, limited),
      );
      await step("settle a layer", signal, (limited) => this.#settle(temporary, lowers, below, limited));
      await step("publish a layer", signal, async () => {
        await writeLayerNotes(temporary, { bootId: await bootId(), opaqueDirectories });
        await this.#publish(temporary, layer.chainId);
      });
      const layerMs = Math.round(performance.now() - begunMs);
      log.debug({ digest: layer.descriptor.digest, chainId: layer.chainId, layerMs }, "layer downloaded and unpacked");
    } catch (thrown) {
      failed.abort();
      await provided.catch(() => undefined);
      await takeBack(() => native.removeTree(temporary));
      throw thrown;
    }
  }

  /**
   * While the blob comes, where it has to come and a place is free for one that waits. Resolves once it has come, with its
   * digest, and is unpacked. A blob that is not what it should be fails as that, however its unpacking failed.
   */
  async #unpack(
    layer: ImageLayer,
    provided: Promise<void>,
    { temporary, owner, from }: { readonly temporary: string; readonly owner: Owner; readonly from: string },
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { directory, ingest, native } = this.#parts;
    const { digest } = layer.descriptor;
    const arrival = await ingest.arrivals.next(sentBlob(digest, from), provided);
    if (arrival !== undefined && !this.#ahead.isFull) {
      const lost = new AbortController();
      void arrival.whole.then((whole) => {
        if (!whole) lost.abort();
      });
      const unpacking = this.#ahead.run(owner, signal, () =>
        this.#unpackFrom(arrival.path, layer, temporary, anyOf(signal, lost.signal)),
      );
      const early = await unpacking.then(
        (opaqueDirectories) => ({ opaqueDirectories }),
        (thrown: unknown) => ({ thrown }),
      );
      if ("thrown" in early && isFullDisk(early.thrown)) throw early.thrown;
      await provided;
      if ("opaqueDirectories" in early) return early.opaqueDirectories;
      if (signal.aborted) throw early.thrown;
      // Another download brought it, or it was in its place before its file was opened.
      if (!lost.signal.aborted && !isNotFound(early.thrown)) throw early.thrown;
      await native.removeTree(temporary);
    }
    await provided;
    return await this.#whole.run(owner, signal, () =>
      this.#unpackFrom(blobPath(directory, digest), layer, temporary, signal),
    );
  }

  async #unpackFrom(
    blob: string,
    layer: ImageLayer,
    temporary: string,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { compression, size: sizeBytes } = layer.descriptor;
    await mkdir(temporary, { mode: 0o700 });
    try {
      const request = { directory: temporary, blob, sizeBytes, compression, diffId: layer.diffId };
      return await this.#parts.unpacker.unpack(request, signal);
    } catch (thrown) {
      throw ofLayer(layer, thrown);
    }
  }

  async #settle(
    temporary: string,
    lowers: readonly ImageLayer[],
    below: Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    await orAborted(below, signal).catch((thrown: unknown) => {
      throw new RuntimeError("canceled", "a layer below failed", { cause: thrown });
    });
    const roots = lowers.map((lower) => layerRoot(this.#parts.directory, lower.chainId));
    await this.#parts.unpacker.settle(temporary, roots, signal);
  }

  async #publish(temporary: string, chainId: Digest): Promise<void> {
    try {
      await rename(temporary, layerPath(this.#parts.directory, chainId));
      this.#unsynced.add(chainId);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno !== "ENOTEMPTY" && errno !== "EEXIST") throw thrown;
      this.#parts.log.debug({ chainId: shortId(chainId) }, "layer was unpacked by another process meanwhile");
      await this.#parts.native.removeTree(temporary);
    }
  }
}

function ofLayer(layer: ImageLayer, thrown: unknown): unknown {
  if (isNotFound(thrown)) return thrown;
  return new RuntimeError(codeOf(thrown), `layer ${layer.descriptor.digest}: ${messageOf(thrown)}`, { cause: thrown });
}

async function hasLayer(directory: StoreDirectory, chainId: Digest): Promise<boolean> {
  try {
    await stat(join(layerPath(directory, chainId), layerNotesFile));
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** A name of this boot of the machine. Source: random(4), /proc/sys/kernel/random/boot_id. */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
