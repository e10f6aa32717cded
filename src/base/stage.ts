import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "./errors.js";
import { faults } from "./faults.js";
import { anyOf } from "./signals.js";

/**
 * Runs one step under a limit of its own, inside the caller's. What it throws names the step.
 * `canceled` is the caller's doing, `deadlineExceeded` the step's: kubelet tells the two apart. A limit of infinity is none.
 */
export async function stage<T>(
  name: string,
  ownLimitMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limitMs = faults?.limitOf(name, ownLimitMs) ?? ownLimitMs;
  const limit = new AbortController();
  const end = (): void => {
    limit.abort();
  };
  const timer = limitMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(end, limitMs);
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

/**
 * A step that has its own words for what goes wrong, and its own limits for what hangs: only a place for faults on
 * purpose, with the name that they know it by.
 */
export async function step<T>(name: string, parent: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return faults === undefined ? await run(parent) : await stage(name, Number.POSITIVE_INFINITY, parent, run);
}

/** Waits; rejects with the signal's reason when it is aborted. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
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
