import { setTimeout as delay } from "node:timers/promises";
import { monotonicMs } from "./clock.js";
import { codeOf, inStage, messageOf, RuntimeError } from "./errors.js";
import { faults } from "./faults.js";
import { beginStep, giveUp, inStep, settlesInTime, type RunningStep } from "./hold.js";
import type { Logger } from "./log.js";
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
    const work = async (): Promise<T> => {
      await faults?.at("begin", name, signal, end);
      const result = await run(signal);
      await faults?.at("end", name, signal, end);
      return result;
    };
    return await raced(step, signal, work, takeBack);
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

/** What a step gives in time; else it is given up. */
async function raced<T>(
  step: RunningStep,
  signal: AbortSignal,
  run: () => Promise<T>,
  takeBack?: (late: T) => Promise<unknown>,
): Promise<T> {
  signal.throwIfAborted();
  const work = inStep(step, run);
  const graceMs = Math.max(shortestGraceMs, longestGraceMs - gracePerDepthMs * step.depth);
  if (await settlesInTime(work, signal, graceMs)) return await work;
  giveUp(step, work, takeBack);
  throw new RuntimeError(codeOf(signal.reason), "it does not end, and holds what it is about until it does");
}

/**
 * A step that has its own words for what goes wrong, and no limit but its caller's, which binds it as `stage` does; and a
 * place for faults on purpose, with the name that they know it by.
 */
export async function step<T>(name: string, parent: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  if (faults !== undefined) return await stage(name, Number.POSITIVE_INFINITY, parent, run);
  const own = beginStep(name);
  try {
    return await raced(own, parent, () => run(parent));
  } catch (thrown) {
    throw own.givenUp ? inStage(name, thrown) : thrown;
  }
}

/**
 * A stage made of stages: the error says both, "create container web (3f2a…): share rootfs: …", so that one line tells
 * whose step failed.
 */
export async function operation<T>(
  name: string,
  limitMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await stage(name, limitMs, parent, run);
  } catch (thrown) {
    throw thrown instanceof RuntimeError && thrown.stage === name ? thrown : inStage(name, thrown);
  }
}

/** The stages of one operation: inside its signal, with how long each took. */
export class Stages {
  readonly timings: { readonly name: string; readonly ms: number }[] = [];
  readonly #log: Logger;
  readonly #signal: AbortSignal;

  constructor(log: Logger, signal: AbortSignal) {
    this.#log = log;
    this.#signal = signal;
  }

  async run<T>(
    name: string,
    limitMs: number,
    step: (limit: AbortSignal) => Promise<T>,
    signal = this.#signal,
  ): Promise<T> {
    const startedMs = monotonicMs();
    const result = await stage(name, limitMs, signal, step);
    const ms = Math.round((monotonicMs() - startedMs) * 10) / 10;
    this.timings.push({ name, ms });
    this.#log.debug({ stage: name, ms }, "stage done");
    return result;
  }
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
