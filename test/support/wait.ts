/** How long things may take. `A3S_TEST_SLOWNESS` is a factor for slow machines (a guest under emulation: 10 or more). */
import { setTimeout as delay } from "node:timers/promises";

export const slowness = Math.max(1, Number(process.env["A3S_TEST_SLOWNESS"] ?? "1"));

/** A limit for an ordinary machine, stretched to this one. */
export function limit(ms: number): number {
  return ms * slowness;
}

/** The same for a CRI timeout, which is in seconds. */
export function secondsLimit(seconds: number): bigint {
  return BigInt(Math.ceil(limit(seconds * 1000) / 1000));
}

/**
 * Asks again and again until the answer is something other than undefined; after the limit throws what the last
 * question threw, or a message that says what was waited for.
 */
export async function eventually<T>(
  what: string,
  limitMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const endMs = performance.now() + limit(limitMs);
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      last = undefined;
    } catch (thrown) {
      last = thrown;
    }
    if (performance.now() > endMs) break;
    await delay(Math.min(20 * slowness, 200));
  }
  const why = last instanceof Error ? `: ${last.message}` : "";
  throw new Error(`${what}: not within ${limit(limitMs)} ms${why}`);
}
