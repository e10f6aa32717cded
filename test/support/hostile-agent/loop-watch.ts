const lookMs = 1;

/**
 * How long the event loop was kept, at most, between two of its turns: in processor time, as a busy machine lets everybody
 * wait and that is no guest's doing.
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
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
