import { constants } from "node:fs";
import type { NativeSync } from "../../native/addon.js";

const maxOpen = 64;

export const openFolderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Open folders below a root, by path. A descriptor that `open` gave is good for the next few dozen calls of `open`,
 * and until its folder is forgotten. Links are never followed on the way: ELOOP, ENOTDIR and ENOENT come through.
 */
export class FolderCache {
  readonly #sync: NativeSync;
  readonly #rootFd: number;
  /** In the order of use, the last one used at the end. */
  readonly #open = new Map<string, number>();

  /** Takes the descriptor over. */
  constructor(sync: NativeSync, rootFd: number) {
    this.#sync = sync;
    this.#rootFd = rootFd;
  }

  open(path: string): number {
    if (path === "") return this.#rootFd;
    const known = this.#open.get(path);
    if (known !== undefined) {
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const fd = this.#sync.openBeneathSync(this.#rootFd, path, openFolderFlags, 0);
    this.#open.set(path, fd);
    if (this.#open.size > maxOpen) this.#drop(this.#open.keys().next().value ?? path);
    return fd;
  }

  /** Closes the folder of that path and all below it: they have been removed. */
  forget(path: string): void {
    for (const known of [...this.#open.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#drop(known);
    }
  }

  close(): void {
    for (const known of [...this.#open.keys()]) this.#drop(known);
    this.#sync.closeSync(this.#rootFd);
  }

  #drop(path: string): void {
    const fd = this.#open.get(path);
    if (fd === undefined) return;
    this.#open.delete(path);
    this.#sync.closeSync(fd);
  }
}
