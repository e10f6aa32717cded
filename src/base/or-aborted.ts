import { RuntimeError } from "./errors.js";

/** Makes a promise give way to a signal; what the promise does later is ignored. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) promise.catch(() => undefined); // nobody else would take what it throws
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason instanceof Error ? signal.reason : new RuntimeError("canceled", "aborted"));
    };
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener("abort", stop);
  }
}

/** Rejects with the signal's reason when it is aborted, and does nothing else. */
export async function untilAborted(signal: AbortSignal): Promise<never> {
  return await orAborted(new Promise<never>(() => undefined), signal);
}
