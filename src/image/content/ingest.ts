import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, type Digest } from "../../base/ids.js";
import { isNotFound } from "../../base/errors.js";
import type { FolderLock, Native } from "../../native/addon.js";
import { Arrivals } from "./arrivals.js";
import { ownName } from "./owner.js";
import type { StoreLock } from "./store-lock.js";
import type { StoreFolder } from "./store-folder.js";

/** What a pull needs to stay where it is while nothing in the index names it yet. */
export interface Held {
  readonly blobs: readonly Digest[];
  readonly layers: readonly Digest[];
}

export interface Hold {
  /** A second call does nothing. */
  release(): Promise<void>;
}

/**
 * This process's own folder in the store, locked as long as the process lives: what it is bringing in, and the names of
 * what it needs to stay (one empty file each, so that another process's sweep sees them). A folder whose lock is free
 * belongs to a process that died: the next sweep takes it away. Its unpackers hold the lock with it, so that it is not
 * free before the last of them has gone.
 */
export class Ingest {
  readonly path: string;
  readonly arrivals = new Arrivals();
  readonly #storeLock: StoreLock;
  readonly #lock: FolderLock;
  readonly #counts = new Map<string, number>();

  private constructor(path: string, storeLock: StoreLock, lock: FolderLock) {
    this.path = path;
    this.#storeLock = storeLock;
    this.#lock = lock;
  }

  static async open(folder: StoreFolder, native: Native, storeLock: StoreLock): Promise<Ingest> {
    const path = join(folder.ingest, `${await ownName()}-${randomBytes(8).toString("hex")}`);
    // Under the store's lock: a sweep must not meet the folder before it is locked.
    const lock = await storeLock.run(async () => {
      await mkdir(path);
      return await native.lockFolder(path);
    });
    return new Ingest(path, storeLock, lock);
  }

  /** Descriptor of the lock, for those that write here on this process's behalf. */
  get lockFd(): number {
    return this.#lock.fd;
  }

  /** A fresh path in this folder; nothing is made there. */
  freshPath(what: string): string {
    return join(this.path, `${what}-${randomBytes(6).toString("hex")}`);
  }

  /** Once it resolves, no sweep takes what is named, whether it is there already or comes later. */
  async hold(held: Held): Promise<Hold> {
    const names = heldNames(held);
    await this.#storeLock.run(async () => {
      for (const name of names) {
        const count = this.#counts.get(name) ?? 0;
        if (count === 0) await writeFile(join(this.path, name), "");
        this.#counts.set(name, count + 1);
      }
    });
    let released = false;
    return {
      release: async () => {
        if (released) return;
        released = true;
        await this.#storeLock.run(() => this.#letGo(names));
      },
    };
  }

  async close(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    this.#lock.close();
  }

  async #letGo(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const count = (this.#counts.get(name) ?? 1) - 1;
      if (count > 0) {
        this.#counts.set(name, count);
        continue;
      }
      this.#counts.delete(name);
      await rm(join(this.path, name), { force: true });
    }
  }
}

/** Names of what the process of an ingest folder holds, as the sweep compares them. */
export async function readHeldNames(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => name.startsWith("hold-"));
  } catch (thrown) {
    if (isNotFound(thrown)) return [];
    throw thrown;
  }
}

export function heldNames(held: Held): string[] {
  return [
    ...held.blobs.map((blob) => `hold-blob-${digestHex(blob)}`),
    ...held.layers.map((layer) => `hold-layer-${digestHex(layer)}`),
  ];
}
