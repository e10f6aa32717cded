/**
 * Unpacked layers as files that a guest mounts itself: EROFS images, made of a layer's tree when a Box first wants it and
 * kept beside it (docs/adr/0143). A file is good in the boot in which it was made: what a power cut has left of it is not
 * asked for, as making it again takes less time than waiting for the disk.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { takeBack } from "../../base/cleanup.js";
import { codeOf, messageOf } from "../../base/errors.js";
import { digestHex, shortId, type Digest } from "../../base/ids.js";
import { isThere } from "../../base/is-there.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { SharedWork } from "../../base/shared-work.js";
import { neverAborted } from "../../base/signals.js";
import { step } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Ingest } from "../content/ingest.js";
import { layerPath, layerRoot, type StoreDirectory } from "../content/store-directory.js";
import type { Unpacker } from "./unpacker.js";

export interface LayerFilesParts {
  readonly directory: StoreDirectory;
  readonly ingest: Pick<Ingest, "freshPath">;
  readonly unpacker: Pick<Unpacker, "pack">;
  readonly native: Pick<Native, "removeTree">;
  readonly log: Logger;
  /** A name of this boot of the machine. */
  readonly bootId: string;
}

const parallelFiles = 2;
/** Then no container waits for another one. */
const mostTries = 3;
const suffix = ".erofs";
const uuidDigits = 32;

export class LayerFiles {
  readonly #parts: LayerFilesParts;
  readonly #jobs = new SharedWork<Digest, void>();
  readonly #turns = new Limiter<"layer files">({ inAll: parallelFiles });
  /**
   * How often a layer could not be made into a file: its containers see trees then, as those of earlier versions. It may be
   * none of what EROFS can have, or its packer was ended by something: only the next try tells.
   */
  readonly #failures = new Map<Digest, number>();
  /** Boxes of this process want files. */
  #areWanted = false;

  constructor(parts: LayerFilesParts) {
    this.#parts = parts;
  }

  /**
   * The files of layers that are there and held, uppermost first; makes what is missing. Undefined for an image without
   * layers, and for one of which a layer can't be such a file.
   */
  async of(chainIds: readonly Digest[], signal: AbortSignal): Promise<string[] | undefined> {
    this.#areWanted = true;
    if (chainIds.length === 0 || chainIds.some((chainId) => this.#failuresOf(chainId) >= mostTries)) return undefined;
    const made = await Promise.all(chainIds.map((chainId) => this.#ensure(chainId, signal)));
    return made.includes(false) ? undefined : chainIds.map((chainId) => this.#fileOf(chainId)).reverse();
  }

  /** Behind a pull: the image's first container waits for less. Nothing where no Box has wanted any so far. */
  ahead(chainIds: readonly Digest[]): void {
    if (!this.#areWanted) return;
    void this.of(chainIds, neverAborted).catch((thrown: unknown) => {
      this.#parts.log.debug({ err: messageOf(thrown) }, "layers not made into files ahead of a container");
    });
  }

  async close(why: string): Promise<void> {
    await this.#jobs.close(why);
  }

  #fileOf(chainId: Digest): string {
    return join(layerPath(this.#parts.directory, chainId), `${this.#parts.bootId}${suffix}`);
  }

  /** False where it can't be; a failure that may pass is thrown. */
  async #ensure(chainId: Digest, signal: AbortSignal): Promise<boolean> {
    if (await isThere(this.#fileOf(chainId))) return true;
    try {
      await this.#jobs.run(chainId, signal, (jobSignal) =>
        this.#turns.run("layer files", jobSignal, () => this.#make(chainId, jobSignal)),
      );
      return true;
    } catch (thrown) {
      if (codeOf(thrown) !== "internal") throw thrown;
      const failures = this.#failuresOf(chainId) + 1;
      this.#failures.set(chainId, failures);
      const facts = { layer: shortId(chainId), err: messageOf(thrown), failures, tries: mostTries };
      this.#parts.log.warn(facts, "a layer is shared as a tree");
      return false;
    }
  }

  #failuresOf(chainId: Digest): number {
    return this.#failures.get(chainId) ?? 0;
  }

  async #make(chainId: Digest, signal: AbortSignal): Promise<void> {
    const { directory, ingest, unpacker, native, log } = this.#parts;
    if (await isThere(this.#fileOf(chainId))) return; // between the look and the job
    const begunMs = performance.now();
    const temporary = ingest.freshPath("layer-file");
    try {
      await mkdir(temporary, { mode: 0o700 });
      const uuid = digestHex(chainId).slice(0, uuidDigits);
      const packed = await step("make a layer's file", signal, (limited) =>
        unpacker.pack(temporary, layerRoot(directory, chainId), uuid, limited),
      );
      await this.#dropEarlier(chainId);
      await rename(packed, this.#fileOf(chainId));
    } finally {
      await takeBack(() => native.removeTree(temporary));
    }
    log.debug({ layer: shortId(chainId), ms: Math.round(performance.now() - begunMs) }, "layer made into a file");
  }

  /** Of an earlier boot. */
  async #dropEarlier(chainId: Digest): Promise<void> {
    const layer = layerPath(this.#parts.directory, chainId);
    const earlier = (await readdir(layer)).filter((name) => name.endsWith(suffix));
    await Promise.all(earlier.map((name) => rm(join(layer, name), { force: true })));
  }
}
