/**
 * Runs with a signal that aborts after so long, or with any of the others, and leaves nothing behind at theirs. (`AbortSignal.any`
 * would hold on to each call in the process's own signal, and in Node 20 lets go of timeouts.)
 */
export async function withLimit<T>(
  ms: number,
  others: readonly AbortSignal[],
  work: (signal: AbortSignal, expired: () => boolean) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    controller.abort(new Error("no answer in time"));
  }, ms);
  const stop = (): void => {
    controller.abort(new Error("the operator ends"));
  };
  for (const other of others) {
    if (other.aborted) stop();
    other.addEventListener("abort", stop);
  }
  try {
    return await work(controller.signal, () => expired);
  } finally {
    clearTimeout(timer);
    for (const other of others) other.removeEventListener("abort", stop);
  }
}

/** Asked anew: a signal that was not aborted before an await may be so behind it. */
export function hasEnded(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Resolves after so long; at once when the signal aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
