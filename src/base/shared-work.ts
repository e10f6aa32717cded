import { codeOf, RuntimeError } from "./errors.js";
import { Hold, onItsOwn, under } from "./hold.js";
import { orAborted } from "./or-aborted.js";
import { whyAborted } from "./signals.js";

export interface Sharing<K, T> {
  /**
   * The work belongs to its key and not to its callers (decision 14 of the design): it goes on, under its own deadline, when
   * the last of them has gone. Absent: nobody wants what nobody waits for, and it is aborted then.
   */
  readonly outlivesCallers?: boolean;
  /** Keeps the results for who comes later: a Map, a WeakMap, a cache. Absent: who comes later begins anew. */
  readonly results?: { get(key: K): T | undefined; set(key: K, result: T): unknown };
}

interface Job<T> {
  readonly result: Promise<T>;
  readonly hold: Hold;
  readonly stop: AbortController;
  callers: number;
  answered: boolean;
}

/**
 * Work that callers with the same key share: the first begins it, the others join it, and all get its result. It hears no
 * caller's signal, only one of its own. A failure is for those who waited: the next one begins anew.
 *
 * While it ends nobody begins it anew. A step that was given up in the work holds the key until it has settled: who comes
 * after the answer is told what the key is busy with (docs/adr/0076).
 */
export class SharedWork<K, T> {
  readonly #jobs = new Map<K, Job<T>>();
  readonly #sharing: Sharing<K, T>;
  #closed: string | undefined;

  constructor(sharing: Sharing<K, T> = {}) {
    this.#sharing = sharing;
  }

  /** True while work for the key is under way, or holds it. */
  has(key: K): boolean {
    return this.#jobs.has(key);
  }

  async run(key: K, caller: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#closed !== undefined) throw new RuntimeError("canceled", this.#closed);
      if (caller.aborted) throw whyAborted(caller);
      const kept = this.#sharing.results?.get(key);
      if (kept !== undefined) return kept;
      const known = this.#jobs.get(key);
      const job = known ?? this.#begin(key, start);
      if (job.answered) throw job.hold.busy();
      try {
        return await this.#join(job, caller);
      } catch (thrown) {
        // Given up by those who began it, before or while this caller joined: it begins its own.
        const isOthers = known !== undefined && this.#sharing.outlivesCallers !== true && !isAborted(caller);
        if (!isOthers || (codeOf(thrown) !== "canceled" && !job.stop.signal.aborted)) throw thrown;
      }
    }
  }

  /** Resolves when no work is under way, and no key is held. */
  async idle(): Promise<void> {
    while (this.#jobs.size > 0) {
      const jobs = [...this.#jobs.values()];
      await Promise.allSettled(jobs.map(({ result }) => result));
      await Promise.all(jobs.map(({ hold }) => hold.freed()));
    }
  }

  /** Gives all of it up, and takes nothing more, for the reason that callers are told; resolves when it has ended. */
  async close(why: string): Promise<void> {
    this.#closed = why;
    const jobs = [...this.#jobs.values()];
    for (const { stop } of jobs) stop.abort(nobodyWaits());
    await Promise.allSettled(jobs.map(({ result }) => result));
  }

  #begin(key: K, start: (signal: AbortSignal) => Promise<T>): Job<T> {
    const [hold, stop] = [new Hold(), new AbortController()];
    const end = (): void => {
      job.answered = true;
      if (hold.isFree) this.#jobs.delete(key);
      else void hold.freed().then(() => this.#jobs.delete(key));
    };
    const work = async (): Promise<T> => {
      const result = await start(stop.signal);
      this.#sharing.results?.set(key, result);
      return result;
    };
    const result = onItsOwn(() => under(hold, work)).finally(end);
    result.catch(() => undefined); // each caller sees the failure; none may be there any more
    const job: Job<T> = { result, hold, stop, callers: 0, answered: false };
    this.#jobs.set(key, job);
    return job;
  }

  /** A caller that gives up leaves at once, but for the last one of work that ends with it: that waits for the end. */
  async #join(job: Job<T>, caller: AbortSignal): Promise<T> {
    job.callers += 1;
    try {
      return await orAborted(job.result, caller);
    } catch (thrown) {
      if (!caller.aborted) throw thrown;
      if (job.callers === 1 && this.#sharing.outlivesCallers !== true) {
        job.stop.abort(nobodyWaits());
        await job.result.catch(() => undefined);
      }
      throw whyAborted(caller);
    } finally {
      job.callers -= 1;
    }
  }
}

function nobodyWaits(): RuntimeError {
  return new RuntimeError("canceled", "nobody waits for it any more");
}

/** As it is now: the compiler takes the answer before a wait for the answer after it. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
