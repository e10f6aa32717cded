/** Wall clock, Unix nanoseconds (CRI timestamps). Strictly rising within a process: CRI sorts by creation time. */
let last = 0n;

export function nowNs(): bigint {
  const wall = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  last = wall > last ? wall : last + 1n;
  return last;
}

/** Milliseconds of a monotonic clock, for durations. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
