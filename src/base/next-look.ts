import { onItsOwn } from "./hold.js";

/**
 * One look at a time, however many ask. Who asks while one is under way gets the answer of the next: what was there before
 * they asked is seen. Where looking hangs, a disk that has died, it takes one thread and not one for each who asks.
 */
export class NextLook<T> {
  readonly #look: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  async ask(): Promise<T> {
    if (this.#running === undefined) return await this.#begin();
    const begin = (): Promise<T> => {
      this.#next = undefined;
      return this.#begin();
    };
    this.#next ??= this.#running.then(begin, begin);
    return await this.#next;
  }

  #begin(): Promise<T> {
    const running = onItsOwn(this.#look);
    this.#running = running;
    const end = (): void => {
      if (this.#running === running) this.#running = undefined;
    };
    running.then(end, end);
    return running;
  }
}
