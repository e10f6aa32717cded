import { sleep } from "./stage.js";

const firstPauseMs = 500;
const longestPauseMs = 30_000;

/**
 * Does what has to happen at last, such as the record of an end on a disk that is full: tries again, ever more rarely, until
 * the signal is aborted, whose reason it throws then. `failed` hears of the first failure alone.
 */
export async function untilDone(
  work: () => Promise<void>,
  signal: AbortSignal,
  failed: (thrown: unknown) => void,
): Promise<void> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      await work();
      return;
    } catch (thrown) {
      signal.throwIfAborted();
      if (pauseMs === firstPauseMs) failed(thrown);
    }
    await sleep(pauseMs, signal);
  }
}
