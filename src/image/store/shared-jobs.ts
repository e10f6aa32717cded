import { codeOf, RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";

interface Job<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  callers: number;
}

/**
 * Work that callers with one key share and that ends when the last of them has gone: nobody wants a download that
 * nobody waits for. (`JoinedJobs` of base is for creations, which go on without their callers.)
 */
export class SharedJobs<K, T> {
  readonly #jobs = new Map<K, Job<T>>();
  #closed = false;

  async run(key: K, caller: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#closed) throw new RuntimeError("canceled", "the image store is being closed");
      if (caller.aborted) throw new RuntimeError("canceled", "the caller gave up");
      const known = this.#jobs.get(key);
      const job = known ?? this.#begin(key, start);
      try {
        return await this.#join(key, job, caller);
      } catch (thrown) {
        // Given up by those who began it, in the moment in which this caller joined: it begins its own.
        if (known === undefined || isAborted(caller) || codeOf(thrown) !== "canceled") throw thrown;
      }
    }
  }

  /** Gives all of it up, and takes nothing more; resolves when it has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    const jobs = [...this.#jobs.values()];
    for (const job of jobs) job.stop.abort();
    await Promise.allSettled(jobs.map((job) => job.result));
  }

  #begin(key: K, start: (signal: AbortSignal) => Promise<T>): Job<T> {
    const stop = new AbortController();
    const result = start(stop.signal);
    const job: Job<T> = { result, stop, callers: 0 };
    const forget = (): void => {
      if (this.#jobs.get(key) === job) this.#jobs.delete(key);
    };
    result.then(forget, forget);
    this.#jobs.set(key, job);
    return job;
  }

  /** A caller that gives up leaves at once, but for the last one: it waits until what the work made is gone. */
  async #join(key: K, job: Job<T>, caller: AbortSignal): Promise<T> {
    job.callers += 1;
    try {
      return await orAborted(job.result, caller);
    } catch (thrown) {
      if (!caller.aborted) throw thrown;
      if (job.callers === 1) {
        if (this.#jobs.get(key) === job) this.#jobs.delete(key);
        job.stop.abort();
        await job.result.catch(() => undefined);
      }
      throw new RuntimeError("canceled", "the caller gave up", { cause: thrown });
    } finally {
      job.callers -= 1;
    }
  }
}

/** As it is now: the compiler takes the answer before the wait for the answer after it. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
