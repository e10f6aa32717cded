import { Hold, onItsOwn, under } from "./hold.js";
import { orAborted } from "./or-aborted.js";

interface Job<T> {
  readonly result: Promise<T>;
  readonly hold: Hold;
  answered: boolean;
}

/**
 * Work that callers with the same key share: the first starts it, the others join it and get its result. A caller that
 * gives up leaves; the work itself goes on under its own deadline (decision 14 of the design: a creation belongs to its
 * key, not to a caller). After the answer a step that was given up in it still holds the key: who comes then is told what
 * it is busy with.
 */
export class JoinedJobs<K, T> {
  readonly #jobs = new Map<K, Job<T>>();

  /** True while work for the key is under way. */
  has(key: K): boolean {
    return this.#jobs.has(key);
  }

  async run(key: K, caller: AbortSignal, start: () => Promise<T>): Promise<T> {
    const job = this.#jobs.get(key) ?? this.#begin(key, start);
    if (job.answered) throw job.hold.busy();
    return await orAborted(job.result, caller);
  }

  /** Resolves when no work is under way. */
  async idle(): Promise<void> {
    while (this.#jobs.size > 0) {
      const jobs = [...this.#jobs.values()];
      await Promise.allSettled(jobs.map(({ result }) => result));
      await Promise.all(jobs.map(({ hold }) => hold.freed()));
    }
  }

  #begin(key: K, start: () => Promise<T>): Job<T> {
    const hold = new Hold();
    const end = (): void => {
      job.answered = true;
      if (hold.isFree) this.#jobs.delete(key);
      else void hold.freed().then(() => this.#jobs.delete(key));
    };
    const job: Job<T> = {
      hold,
      answered: false,
      result: onItsOwn(() => under(hold, start)).finally(end),
    };
    job.result.catch(() => undefined); // each caller sees the failure; none may be there any more
    this.#jobs.set(key, job);
    return job;
  }
}
