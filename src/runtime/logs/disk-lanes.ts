import { KeyedMutex } from "../../base/keyed-mutex.js";
import { orAborted } from "../../base/or-aborted.js";
import { neverAborted } from "../../base/signals.js";

/** libuv's own number (docs.libuv.org, "Thread pool work scheduling"). */
const usualThreads = 4;

/**
 * Lets few of libuv's threads be at logs at a time: one for each disk, and half of them for all disks. A call to a disk
 * that hangs keeps its thread for as long as that takes; the other threads are for the rest of the daemon.
 */
export class DiskLanes {
  readonly #disks = new KeyedMutex<number>();
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(threads: number) {
    this.#free = Math.max(1, Math.floor(threads / 2));
  }

  /**
   * `device`: as stat(2) has it. `work` is one call, or few, and waits for nothing but the disk. Lines of a log are to be
   * written at last: a call that was given up is waited for as any other, until `signal` is aborted.
   */
  async run<T>(device: number, work: () => Promise<T>, signal = neverAborted): Promise<T> {
    return await this.#disks.runWhenFree(device, signal, async () => {
      await this.#enter(signal);
      try {
        return await work();
      } finally {
        this.#leave();
      }
    });
  }

  async #enter(signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    let enter = (): void => undefined;
    const entered = new Promise<void>((resolve) => {
      enter = resolve;
    });
    this.#waiting.push(enter);
    try {
      await orAborted(entered, signal);
    } catch (thrown) {
      const place = this.#waiting.indexOf(enter);
      if (place >= 0) this.#waiting.splice(place, 1);
      else this.#leave(); // it was let in at the same moment
      throw thrown;
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** The pool's size is the process's, and so is this. */
export const diskLanes = new DiskLanes(threadsOf(process.env["UV_THREADPOOL_SIZE"]));

/** As libuv reads it: 1 to 1024. */
function threadsOf(text: string | undefined): number {
  const number = Number.parseInt(text ?? "", 10);
  return Number.isNaN(number) ? usualThreads : Math.min(1024, Math.max(1, number));
}
