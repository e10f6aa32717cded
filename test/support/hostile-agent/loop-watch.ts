import { readFileSync } from "node:fs";

const lookMs = 1;
/** The thread that the loop turns in. Its first number: nanoseconds on a processor (proc_pid_schedstat(5)). */
const schedstat = `/proc/self/task/${String(process.pid)}/schedstat`;

/**
 * How long the event loop was kept, at most, between two of its turns: in processor time of its own thread, as a busy machine
 * lets everybody wait, and the collector's other threads work beside it.
 */
export class LoopWatch implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #last = processorMs();
  #worstMs = 0;

  constructor() {
    this.#timer = setInterval(() => {
      const now = processorMs();
      this.#worstMs = Math.max(this.#worstMs, now - this.#last);
      this.#last = now;
    }, lookMs);
  }

  get worstMs(): number {
    return this.#worstMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function processorMs(): number {
  return Number(readFileSync(schedstat, "latin1").split(" ", 1)[0]) / 1e6;
}
