import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, type Digest } from "../../base/ids.js";
import { isNotFound } from "../../base/errors.js";
import type { DirectoryLock, Native } from "../../native/addon.js";
import { Arrivals } from "./arrivals.js";
import { ownName } from "./owner.js";
import { tryLock, type StoreLock } from "./store-lock.js";
import type { StoreDirectory } from "./store-directory.js";

/** What a pull needs to stay where it is while nothing in the index names it yet. */
export interface Held {
  readonly blobs: readonly Digest[];
  readonly layers: readonly Digest[];
}

export interface Hold {
  /** A second call does nothing. */
  release(): Promise<void>;
}

/** File in an ingest directory; its lock is held by the process and by all that it has write there. */
export const writersLock = "writers.lock";

interface IngestLocks {
  readonly directory: DirectoryLock;
  readonly writers: DirectoryLock;
}

/**
 * This process's own directory in the store, locked as long as the process lives: what it is bringing in, and the names of
 * what it needs to stay (one empty file each, so that another process's sweep sees them). A directory whose lock is free
 * belongs to a process that died: the next sweep takes it away. Its unpackers hold a lock too, so that it is not free
 * before the last of them has gone: that of a file in the directory, for the directory's own descriptor would lead them out of
 * their jails. The directory is locked as well: older versions know no other lock.
 */
export class Ingest {
  readonly path: string;
  readonly arrivals = new Arrivals();
  readonly #storeLock: StoreLock;
  readonly #locks: IngestLocks;
  readonly #counts = new Map<string, number>();

  private constructor(path: string, storeLock: StoreLock, locks: IngestLocks) {
    this.path = path;
    this.#storeLock = storeLock;
    this.#locks = locks;
  }

  static async open(directory: StoreDirectory, native: Native, storeLock: StoreLock): Promise<Ingest> {
    const path = join(directory.ingest, `${await ownName()}-${randomBytes(8).toString("hex")}`);
    // Under the store's lock: a sweep must not meet the directory before it is locked.
    const locks = await storeLock.run(async () => {
      await mkdir(path);
      return {
        directory: await native.lockDirectory(path),
        writers: await native.lockFile(join(path, writersLock), true),
      };
    });
    return new Ingest(path, storeLock, locks);
  }

  /** Descriptor of the writers' lock, for those that write here on this process's behalf. */
  get lockFd(): number {
    return this.#locks.writers.fd;
  }

  /** A fresh path in this directory; nothing is made there. */
  freshPath(what: string): string {
    return join(this.path, `${what}-${randomBytes(6).toString("hex")}`);
  }

  /** Once it resolves, no sweep takes what is named, whether it is there already or comes later. */
  async hold(held: Held, signal?: AbortSignal): Promise<Hold> {
    const names = heldNames(held);
    await this.#storeLock.run(async () => {
      for (const name of names) {
        const count = this.#counts.get(name) ?? 0;
        if (count === 0) await writeFile(join(this.path, name), "");
        this.#counts.set(name, count + 1);
      }
    }, signal);
    let released = false;
    return {
      release: async () => {
        if (released) return;
        released = true;
        await this.#storeLock.runWhenFree(() => this.#letGo(names));
      },
    };
  }

  async close(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    this.#locks.writers.close();
    this.#locks.directory.close();
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

/**
 * True once the directory's process and the last of its writers have gone. Of an older version, whose writers hold the
 * directory's own lock, there is no file.
 */
export async function isAbandoned(native: Native, path: string): Promise<boolean> {
  for (const lock of [() => native.lockDirectory(path), () => native.lockFile(join(path, writersLock), false)]) {
    const taken = await tryLock(lock).catch((thrown: unknown) => {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    });
    if (taken === null) return false;
    taken?.close();
  }
  return true;
}

/** Names of what the process of an ingest directory holds, as the sweep compares them. */
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
