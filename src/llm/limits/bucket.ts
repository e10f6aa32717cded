/** So much a minute, and no more than a minute's at once. What is taken may be known only later: it can be in debt. */
export class Bucket {
  readonly #perMinute: number;
  #level: number;
  #atMs: number;

  constructor(perMinute: number, nowMs: number) {
    this.#perMinute = perMinute;
    this.#level = perMinute;
    this.#atMs = nowMs;
  }

  /** Until there is one to take; 0: now. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#level >= 1 ? 0 : Math.ceil(((1 - this.#level) * 60_000) / this.#perMinute);
  }

  take(amount: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#level -= amount;
  }

  /** Nothing would be lost by forgetting it. */
  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#level >= this.#perMinute;
  }

  #fill(nowMs: number): void {
    const gained = ((nowMs - this.#atMs) * this.#perMinute) / 60_000;
    this.#level = Math.min(this.#perMinute, this.#level + Math.max(0, gained));
    this.#atMs = nowMs;
  }
}
