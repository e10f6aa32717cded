/** Sizes of trees of the host, for stats: nobody knows how large they are, and everybody may ask. */
import pLimit from "p-limit";
import { RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { orAborted } from "../../base/or-aborted.js";
import { anyOf } from "../../base/signals.js";
import type { Native } from "../../native/addon.js";

export interface TreeSize {
  readonly bytes: bigint;
  readonly inodes: bigint;
}

interface Walk {
  readonly size: Promise<TreeSize>;
  /** Its first number is not 0 when nobody waits any more: the thread that walks looks at it. */
  readonly stop: Int32Array;
  waiting: number;
}

/** So few at once that other work finds a thread of libuv's pool. */
const atOnce = 2;

/** One walk for all who ask for a tree while it goes on; it ends when the last of them has gone. */
export class TreeWalks {
  readonly #native: Pick<Native, "treeUsage">;
  readonly #walks = new Map<string, Walk>();
  readonly #turns = pLimit(atOnce);

  constructor(native: Pick<Native, "treeUsage">) {
    this.#native = native;
  }

  async size(path: string, signal: AbortSignal): Promise<TreeSize> {
    signal.throwIfAborted();
    const walk = this.#walks.get(path) ?? this.#begin(path);
    walk.waiting += 1;
    try {
      return await orAborted(walk.size, anyOf(signal)); // a call waits for many
    } finally {
      walk.waiting -= 1;
      if (walk.waiting === 0) this.#end(path, walk);
    }
  }

  #begin(path: string): Walk {
    const stop = new Int32Array(1);
    const size = onItsOwn(() =>
      this.#turns(async () => {
        if (Atomics.load(stop, 0) !== 0) throw new RuntimeError("canceled", "nobody waits for it any more");
        return await this.#native.treeUsage(path, stop);
      }),
    );
    size.catch(() => undefined); // each who waits sees it; nobody may any more
    const walk: Walk = { size, stop, waiting: 0 };
    this.#walks.set(path, walk);
    return walk;
  }

  /** Who comes from now on looks anew. */
  #end(path: string, walk: Walk): void {
    Atomics.store(walk.stop, 0, 1);
    if (this.#walks.get(path) === walk) this.#walks.delete(path);
  }
}
