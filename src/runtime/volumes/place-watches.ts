import type { ContainerId } from "../../base/ids.js";
import type { Box } from "../../vmm/box.js";

/** What is done about one place in a Box's share for as long as containers have it. */
export interface PlaceWatch {
  readonly box: Box;
  readonly owners: Set<ContainerId>;
  /** Ends it at once: nothing of it is left that runs, waits or is open. A second call does nothing. */
  close(): void;
}

/**
 * Watches by their places, each with the containers that have it. All of a Box's are closed when the Box ends: its pod is
 * stopped before its containers are removed, and whoever removes them then finds nothing that is left to be released.
 */
export class PlaceWatches<W extends PlaceWatch> {
  readonly #watches = new Map<string, W>();
  readonly #boxes = new WeakSet<Box>();
  readonly #lastClosed: () => void;

  /** `lastClosed`: there is none any more. */
  constructor(lastClosed: () => void = () => undefined) {
    this.#lastClosed = lastClosed;
  }

  get size(): number {
    return this.#watches.size;
  }

  has(path: string): boolean {
    return this.#watches.has(path);
  }

  all(): W[] {
    return [...this.#watches.values()];
  }

  /** The place's watch, made where there is none; undefined when the Box has ended. */
  add(box: Box, owner: ContainerId, path: string, make: () => W): W | undefined {
    if (box.exit !== undefined) return undefined;
    this.#closeWith(box);
    const watch = this.#watches.get(path) ?? make();
    this.#watches.set(path, watch);
    watch.owners.add(owner);
    return watch;
  }

  /** The container has none any more. The places that nobody has now; their watches go on until they are closed. */
  leave(owner: ContainerId): string[] {
    const had = [...this.#watches].filter(([, { owners }]) => owners.delete(owner));
    return had.filter(([, { owners }]) => owners.size === 0).map(([path]) => path);
  }

  get(path: string): W | undefined {
    return this.#watches.get(path);
  }

  close(path: string): void {
    this.#watches.get(path)?.close();
    if (this.#watches.delete(path) && this.#watches.size === 0) this.#lastClosed();
  }

  closeAll(): void {
    for (const path of [...this.#watches.keys()]) this.close(path);
  }

  #closeWith(box: Box): void {
    if (this.#boxes.has(box)) return;
    this.#boxes.add(box);
    void box.exited.then(() => {
      for (const [path, watch] of [...this.#watches]) if (watch.box === box) this.close(path);
    });
  }
}
