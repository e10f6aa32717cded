/** What the store takes of the disk: true figures, found again at most every few seconds. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import pLimit from "p-limit";
import { errnoOf, isNotFound } from "../../base/errors.js";
import { NextLook } from "../../base/next-look.js";
import type { Native } from "../../native/addon.js";
import type { StoreDirectory } from "../content/store-directory.js";
import type { FsUsage } from "../image-store.js";

const freshMs = 5_000;

interface Tree {
  readonly bytes: bigint;
  readonly inodes: bigint;
}

export class Usage {
  readonly #directory: StoreDirectory;
  readonly #native: Native;
  /** A layer doesn't change: each is walked once. */
  readonly #layers = new Map<string, Tree>();
  /** One thread for both, where the disk is dead. */
  readonly #turns = pLimit(1);
  readonly #imagesLook = new NextLook(() => this.#turns(() => this.#findImages()));
  readonly #containersLook = new NextLook(() => this.#turns(() => this.#findContainers()));
  #images: Kept | undefined;
  #containers: Kept | undefined;

  constructor(directory: StoreDirectory, native: Native) {
    this.#directory = directory;
    this.#native = native;
  }

  /** After a change of our own: the next question looks again. */
  forget(): void {
    this.#images = undefined;
    this.#containers = undefined;
  }

  async images(): Promise<FsUsage> {
    this.#images = isFresh(this.#images) ? this.#images : begin(this.#imagesLook.ask());
    return await this.#images.usage;
  }

  async containers(): Promise<FsUsage> {
    this.#containers = isFresh(this.#containers) ? this.#containers : begin(this.#containersLook.ask());
    return await this.#containers.usage;
  }

  async #findImages(): Promise<FsUsage> {
    const names = await readdir(this.#directory.layers);
    const present = new Set(names);
    for (const known of this.#layers.keys()) if (!present.has(known)) this.#layers.delete(known);
    const trees: Tree[] = [];
    for (const path of [this.#directory.blobs, this.#directory.ingest, this.#directory.trash]) {
      const tree = await this.#walk(path); // with what a pull has brought so far
      if (tree !== null) trees.push(tree);
    }
    for (const name of names) {
      const tree = this.#layers.get(name) ?? (await this.#walk(join(this.#directory.layers, name)));
      if (tree === null) continue;
      this.#layers.set(name, tree);
      trees.push(tree);
    }
    return await sum(this.#directory.root, trees);
  }

  async #findContainers(): Promise<FsUsage> {
    const tree = await this.#walk(this.#directory.containers);
    return await sum(this.#directory.containers, tree === null ? [] : [tree]);
  }

  /** Null when it has gone. */
  async #walk(path: string): Promise<Tree | null> {
    try {
      return await this.#native.treeUsage(path);
    } catch (thrown) {
      if (isNotFound(thrown) || errnoOf(thrown) === "ESTALE") return null;
      throw thrown;
    }
  }
}

interface Kept {
  readonly usage: Promise<FsUsage>;
  /** When it began; undefined until it has been found, which all wait for who ask meanwhile. */
  atMs: number | undefined;
}

function isFresh(kept: Kept | undefined): kept is Kept {
  return kept !== undefined && (kept.atMs === undefined || performance.now() - kept.atMs < freshMs);
}

/** Those who ask while it is being found wait for the same; a failure isn't kept. */
function begin(usage: Promise<FsUsage>): Kept {
  const begunMs = performance.now();
  const kept: Kept = { usage, atMs: undefined };
  usage.then(
    () => {
      kept.atMs = begunMs;
    },
    () => {
      kept.atMs = -Infinity;
    },
  );
  return kept;
}

async function sum(mountpoint: string, trees: readonly Tree[]): Promise<FsUsage> {
  return {
    mountpoint,
    device: (await stat(mountpoint)).dev,
    usedBytes: trees.reduce((total, tree) => total + tree.bytes, 0n),
    inodesUsed: trees.reduce((total, tree) => total + tree.inodes, 0n),
  };
}
