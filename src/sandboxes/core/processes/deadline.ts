/** Longest time that a timer takes (Node.js, "Timers"). */
const longestMs = 2 ** 31 - 1;

/** Calls once when a time of day has come, however far off it is; does not keep the daemon alive. */
export class Deadline {
  readonly #atMs: number;
  readonly #passed: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(atMs: number, passed: () => void) {
    this.#atMs = atMs;
    this.#passed = passed;
    this.#wait();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const leftMs = Math.max(0, this.#atMs - Date.now());
    this.#timer = setTimeout(
      () => {
        if (leftMs > longestMs) this.#wait();
        else this.#passed();
      },
      Math.min(leftMs, longestMs),
    );
    this.#timer.unref();
  }
}
