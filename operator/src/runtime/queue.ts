/** Keys to work on: each by one worker at a time, again when it was added meanwhile, later when it failed. */
const firstPauseMs = 250;
const longestPauseMs = 60_000;

export class WorkQueue {
  /** In the order in which they came. */
  readonly #due = new Set<string>();
  readonly #later = new Map<string, { readonly timer: NodeJS.Timeout; readonly atMs: number }>();
  readonly #working = new Set<string>();
  readonly #failures = new Map<string, number>();
  #wake: (() => void) | undefined;

  /** How many are due, or worked on. */
  get depth(): number {
    return this.#due.size + this.#working.size;
  }

  add(key: string): void {
    this.#due.add(key);
    this.#wake?.();
  }

  /** In so long at the latest. */
  addAfter(key: string, ms: number): void {
    const atMs = performance.now() + ms;
    const planned = this.#later.get(key);
    if (planned !== undefined && planned.atMs <= atMs) return;
    clearTimeout(planned?.timer);
    const timer = setTimeout(
      () => {
        this.#later.delete(key);
        this.add(key);
      },
      Math.min(ms, 2 ** 31 - 1),
    );
    this.#later.set(key, { timer, atMs });
  }

  /** After a failure: twice as long each time. */
  retry(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const pauseMs = Math.min(firstPauseMs * 2 ** failures, longestPauseMs);
    this.addAfter(key, pauseMs * (0.75 + Math.random() / 2));
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Until the signal aborts, and what is worked on then is done. `work` does not throw. */
  async run(workers: number, work: (key: string) => Promise<void>, signal: AbortSignal): Promise<void> {
    const running = new Set<Promise<void>>();
    const wake = (): void => {
      this.#wake?.();
    };
    signal.addEventListener("abort", wake);
    while (!signal.aborted) {
      const key = running.size < workers ? this.#next() : undefined;
      if (key === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      this.#working.add(key);
      const one = work(key).finally(() => {
        this.#working.delete(key);
        running.delete(one);
        this.#wake?.();
      });
      running.add(one);
    }
    signal.removeEventListener("abort", wake);
    for (const { timer } of this.#later.values()) clearTimeout(timer);
    this.#later.clear();
    await Promise.all(running);
  }

  #next(): string | undefined {
    for (const key of this.#due) {
      if (this.#working.has(key)) continue;
      this.#due.delete(key);
      return key;
    }
    return undefined;
  }
}
