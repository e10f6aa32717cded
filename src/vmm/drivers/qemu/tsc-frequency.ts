import type { Native, TscReading } from "../../../native/addon.js";
import { sleep } from "../../../base/stage.js";

/** Two readings are off by less than a microsecond: over this time the frequency is good to 1 in 100,000. */
const minimumNs = 100_000_000n;

/**
 * Frequency of the host's time stamp counter in kHz, from a reading taken when the daemon started and one taken now: the
 * longer it runs, the better. Waits where the first is too young.
 */
export async function tscKhz(first: TscReading, native: Pick<Native, "readTsc">, signal: AbortSignal): Promise<number> {
  let now = native.readTsc();
  const missingNs = minimumNs - (now.monotonicNs - first.monotonicNs);
  if (missingNs > 0n) {
    await sleep(Number(missingNs / 1_000_000n) + 1, signal);
    now = native.readTsc();
  }
  const elapsedNs = now.monotonicNs - first.monotonicNs;
  const ticks = now.ticks - first.ticks;
  return Number((ticks * 1_000_000n + elapsedNs / 2n) / elapsedNs);
}
