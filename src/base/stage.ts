import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "./errors.js";
import { faults } from "./faults.js";
import { anyOf } from "./signals.js";

/**
 * Runs one step under a limit of its own, inside the caller's. What it throws names the step.
 * `canceled` is the caller's doing, `deadlineExceeded` the step's: kubelet tells the two apart.
 */
export async function stage<T>(
  name: string,
  ownLimitMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limitMs = faults?.limitOf(name, ownLimitMs) ?? ownLimitMs;
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort();
  }, limitMs);
  const signal = anyOf(parent, limit.signal);
  try {
    signal.throwIfAborted();
    await faults?.at("begin", name, signal);
    const result = await run(signal);
    await faults?.at("end", name, signal);
    return result;
  } catch (cause) {
    if (parent.aborted) throw new RuntimeError("canceled", "the caller gave up", { stage: name, cause });
    if (limit.signal.aborted) {
      const why = cause instanceof RuntimeError ? `; ${cause.message}` : "";
      throw new RuntimeError("deadlineExceeded", `no result in ${limitMs} ms${why}`, { stage: name, cause });
    }
    if (cause instanceof RuntimeError && cause.stage === undefined) {
      throw new RuntimeError(cause.code, cause.message, { stage: name, cause });
    }
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits; rejects with the signal's reason when it is aborted. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}

/** Makes a promise give way to a signal; what the promise does later is ignored. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
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

/**
 * Runs two things at once and gives both results. When one fails the other's signal is aborted, and it is waited for
 * before the first failure is thrown: nothing goes on behind the caller's back.
 */
export async function sideBySide<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const other = new AbortController();
  const both = anyOf(signal, other.signal);
  let failure: { readonly thrown: unknown } | undefined;
  const watched = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await work(both);
    } catch (thrown) {
      failure ??= { thrown };
      other.abort();
      throw thrown;
    }
  };
  const [a, b] = await Promise.allSettled([watched(first), watched(second)]);
  if (a.status === "fulfilled" && b.status === "fulfilled") return [a.value, b.value];
  throw failure?.thrown;
}
