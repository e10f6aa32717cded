import { availableParallelism } from "node:os";
import { orAborted } from "../base/or-aborted.js";

/** A guest that boots keeps a processor busy, under emulation for seconds. */
const perProcessor = 2;

/**
 * Guests that boot side by side. All of a node's pods at once would each get so little of the processors that none had
 * booted within its limit, and kubelet would begin with all of them anew (docs/adr/0070).
 */
export class BootTurns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atOnce = availableParallelism() * perProcessor) {
    this.#free = atOnce;
  }

  /** Waits for a turn, in the order of asking, and rejects with the signal's reason when it is aborted before. */
  async run<T>(signal: AbortSignal, boot: () => Promise<T>): Promise<T> {
    await this.#take(signal);
    try {
      return await boot();
    } finally {
      this.#give();
    }
  }

  async #take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    let mine: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => (mine = resolve));
    this.#waiting.add(mine);
    try {
      await orAborted(turn, signal);
    } catch (thrown) {
      // A turn that came in the same moment is the next one's.
      if (!this.#waiting.delete(mine)) this.#give();
      throw thrown;
    }
  }

  #give(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
