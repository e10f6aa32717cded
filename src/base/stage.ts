import { setTimeout as delay } from "node:timers/promises";
import { codeOf, messageOf, RuntimeError } from "./errors.js";
import { faults } from "./faults.js";
import { beginStep, giveUp, inStep, settlesInTime } from "./hold.js";
import { anyOf } from "./signals.js";

/**
 * After its signal a step may take this long to end by itself before it is given up. The inner ones of several have less:
 * they are the ones to name. The edge waits a little longer than the outermost, and still ends within a second.
 */
const longestGraceMs = 800;
const gracePerDepthMs = 100;
const shortestGraceMs = 100;

/**
 * Runs one step under a limit of its own, inside the caller's. What it throws names the step.
 * `canceled` is the caller's doing, `deadlineExceeded` the step's: kubelet tells the two apart. A limit of infinity is none.
 *
 * The limit binds whatever the step does: one that does not end by its signal is given up, goes on, and holds the key that
 * it was begun under until it settles (`hold.ts`). `takeBack` is called with a result that comes after that.
 */
export async function stage<T>(
  name: string,
  ownLimitMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
  takeBack?: (late: T) => Promise<unknown>,
): Promise<T> {
  const limitMs = faults?.limitOf(name, ownLimitMs) ?? ownLimitMs;
  const limit = new AbortController();
  const end = (): void => {
    limit.abort();
  };
  const timer = limitMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(end, limitMs);
  const signal = anyOf(parent, limit.signal);
  const step = beginStep(name);
  try {
    signal.throwIfAborted();
    const work = inStep(step, async () => {
      await faults?.at("begin", name, signal, end);
      const result = await run(signal);
      await faults?.at("end", name, signal, end);
      return result;
    });
    const graceMs = Math.max(shortestGraceMs, longestGraceMs - gracePerDepthMs * step.depth);
    if (!(await settlesInTime(work, signal, graceMs))) {
      giveUp(step, work, takeBack);
      throw new RuntimeError(codeOf(signal.reason), "it does not end, and holds what it is about until it does");
    }
    return await work;
  } catch (cause) {
    if (parent.aborted) {
      const why = step.givenUp ? `; ${messageOf(cause)}` : "";
      throw new RuntimeError("canceled", `the caller gave up${why}`, { stage: name, cause });
    }
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
