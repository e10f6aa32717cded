import { orAborted } from "./or-aborted.js";

interface Job<T> {
  readonly result: Promise<T>;
}

/**
 * Work that callers with the same key share: the first starts it, the others join it and get its result. A caller that
 * gives up leaves; the work itself goes on under its own deadline (decision 14 of the design: a creation belongs to its
 * key, not to a caller).
 */
export class JoinedJobs<K, T> {
  readonly #jobs = new Map<K, Job<T>>();

  /** True while work for the key is under way. */
  has(key: K): boolean {
    return this.#jobs.has(key);
  }

  async run(key: K, caller: AbortSignal, start: () => Promise<T>): Promise<T> {
    let job = this.#jobs.get(key);
    if (job === undefined) {
      const begun: Job<T> = {
        result: start().finally(() => {
          if (this.#jobs.get(key) === begun) this.#jobs.delete(key);
        }),
      };
      begun.result.catch(() => undefined); // each caller sees the failure; none may be there any more
      this.#jobs.set(key, begun);
      job = begun;
    }
    return await orAborted(job.result, caller);
  }

  /** Resolves when no work is under way. */
  async idle(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled([...this.#jobs.values()].map(({ result }) => result));
  }
}
