/** A wall clock that went back by less is the same moment, read twice; by more it was set. */
const setBackNs = 1_000_000_000n;

/** Times of day, Unix nanoseconds, as CRI has them. */
export class WallClock {
  readonly #read: () => bigint;
  #last = 0n;
  #lastCreated = 0n;

  constructor(read: () => bigint) {
    this.#read = read;
  }

  /** Now; never a time twice. A clock that is set back takes this with it: guests are told the time, and rates counted. */
  now(): bigint {
    const wall = this.#read();
    const sameMoment = wall <= this.#last && this.#last - wall < setBackNs;
    this.#last = sameMoment ? this.#last + 1n : wall;
    return this.#last;
  }

  /** Of a creation: later than all before it, also when the clock was set back. kubelet takes the latest for the present one. */
  created(): bigint {
    const now = this.now();
    this.#lastCreated = now > this.#lastCreated ? now : this.#lastCreated + 1n;
    return this.#lastCreated;
  }
}

const clock = new WallClock(() => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n));

export function nowNs(): bigint {
  return clock.now();
}

/** For the records of sandboxes and containers that come to be. */
export function creationNs(): bigint {
  return clock.created();
}

/** Milliseconds of a monotonic clock, for durations. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
