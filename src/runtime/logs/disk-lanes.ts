import { KeyedMutex } from "../../base/keyed-mutex.js";

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

  /** `device`: as stat(2) has it. `work` is one call, or few, and waits for nothing but the disk. */
  async run<T>(device: number, work: () => Promise<T>): Promise<T> {
    return await this.#disks.run(device, async () => {
      await this.#enter();
      try {
        return await work();
      } finally {
        this.#leave();
      }
    });
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
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
