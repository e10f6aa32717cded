import type { Box } from "../../vmm/box.js";

/** What a Box's agent answers for as long as the Box lives: each Box is asked once, and again after a failure. */
export class AskedOnce<T> {
  readonly #answers = new WeakMap<Box, Promise<T>>();
  readonly #ask: (box: Box, signal: AbortSignal) => Promise<T>;

  constructor(ask: (box: Box, signal: AbortSignal) => Promise<T>) {
    this.#ask = ask;
  }

  async of(box: Box, signal: AbortSignal): Promise<T> {
    const answer = this.#answers.get(box) ?? this.#ask(box, signal);
    this.#answers.set(box, answer);
    answer.catch(() => this.#answers.delete(box));
    return await answer;
  }
}
