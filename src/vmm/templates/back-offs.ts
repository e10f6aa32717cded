import { monotonicMs } from "../../base/clock.js";

/** What has failed is not tried again for so long, which doubles. */
const firstMs = 5000;
const longestMs = 300_000;

interface BackOff {
  readonly ms: number;
  readonly untilMs: number;
}

/**
 * By the keys of templates, which are others after each upgrade: one that was not tried for long after it could be is
 * forgotten. One that was made in between is not: no Box may be able to go on from it.
 */
export class BackOffs {
  readonly #now: () => number;
  readonly #known = new Map<string, BackOff>();

  constructor(now: () => number = monotonicMs) {
    this.#now = now;
  }

  get size(): number {
    return this.#known.size;
  }

  failed(key: string): void {
    this.#forgetOld();
    const ms = Math.min((this.#known.get(key)?.ms ?? firstMs / 2) * 2, longestMs);
    this.#known.set(key, { ms, untilMs: this.#now() + ms });
  }

  mayTry(key: string): boolean {
    this.#forgetOld();
    return this.#now() >= (this.#known.get(key)?.untilMs ?? 0);
  }

  #forgetOld(): void {
    const now = this.#now();
    for (const [key, { untilMs }] of this.#known) if (untilMs + longestMs < now) this.#known.delete(key);
  }
}
