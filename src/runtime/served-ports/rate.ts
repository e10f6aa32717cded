import { monotonicMs } from "../../base/clock.js";
import { sleep } from "../../base/stage.js";

/** So many at once, and so many a second from then on. */
export class Rate {
  readonly #burst: number;
  readonly #everyMs: number;
  readonly #now: () => number;
  /** When as many as may come at once may come again. */
  #fullAtMs = 0;

  constructor(burst: number, perSecond: number, now: () => number = monotonicMs) {
    this.#burst = burst;
    this.#everyMs = 1000 / perSecond;
    this.#now = now;
  }

  /** Waits until one more may come. */
  async take(signal: AbortSignal): Promise<void> {
    const now = this.#now();
    this.#fullAtMs = Math.max(this.#fullAtMs, now) + this.#everyMs;
    const waitMs = this.#fullAtMs - now - this.#burst * this.#everyMs;
    if (waitMs > 0) await sleep(waitMs, signal);
  }
}
