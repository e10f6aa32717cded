/** A wall clock that is set is noticed within this. */
const longestWaitMs = 30_000;

/** What is due at a time of day, for each key one: a single timer waits for the first. */
export class TimerQueue<K> {
  readonly #due = new Map<K, number>();
  readonly #fire: (key: K) => void;
  readonly #nowMs: () => number;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(fire: (key: K) => void, nowMs: () => number = Date.now) {
    this.#fire = fire;
    this.#nowMs = nowMs;
  }

  /** In place of what was due for the key before. */
  set(key: K, atMs: number): void {
    this.#due.set(key, atMs);
    if (atMs < this.#timerAtMs) this.#arm();
  }

  delete(key: K): void {
    this.#due.delete(key);
    if (this.#due.size === 0) this.clear();
  }

  /** Nothing is due any more. */
  clear(): void {
    this.#due.clear();
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = Math.min(...this.#due.values());
    if (this.#timerAtMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.min(Math.max(this.#timerAtMs - this.#nowMs(), 0), longestWaitMs);
    this.#timer = setTimeout(() => {
      this.#run();
    }, waitMs);
    this.#timer.unref();
  }

  #run(): void {
    const now = this.#nowMs();
    const due = [...this.#due].filter(([, atMs]) => atMs <= now).sort(([, one], [, other]) => one - other);
    for (const [key] of due) this.#due.delete(key);
    this.#arm();
    for (const [key] of due) this.#fire(key);
  }
}
