import { TimeoutError, type ErrorDetail } from "./errors.js";

/** Node's timers can't wait longer. */
const longestMs = 0x7fff_ffff;

/**
 * Aborts after `ms` with a `TimeoutError`, or as soon as `outer` does, with its reason. 0: no limit of its own.
 * `AbortSignal.any` is not used: in Node 20 it loses timeouts that nobody else holds.
 */
export class Deadline {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  readonly #ms: number;
  readonly #detail: ErrorDetail;
  readonly #outer: AbortSignal | undefined;
  readonly #follow = (): void => {
    this.#controller.abort(this.#outer?.reason);
  };

  constructor(ms: number, outer: AbortSignal | undefined, detail: ErrorDetail) {
    this.#outer = outer;
    this.#ms = Math.min(ms, longestMs);
    this.#detail = detail;
    this.restart();
    if (outer?.aborted === true) this.#follow();
    else outer?.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It has all its time again. */
  restart(): void {
    this.pause();
    if (this.#ms <= 0) return;
    this.#timer = setTimeout(() => {
      this.#controller.abort(new TimeoutError(`no answer within ${this.#ms} ms`, this.#detail));
    }, this.#ms);
  }

  /** Its time does not pass until it is started again. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** What it was for is done. */
  clear(): void {
    this.pause();
    this.#outer?.removeEventListener("abort", this.#follow);
  }
}

/** Ends at the signal, too, with its reason. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Settles with the work, or rejects with the signal, whichever is first. */
export async function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const stop = (): void => {
      reject(reasonOf(signal));
    };
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", stop);
    });
  });
}

/** Why it was aborted, as an error: whoever aborts with something else gets that as the cause. */
export function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}
