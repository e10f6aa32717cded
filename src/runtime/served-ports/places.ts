import { orAborted } from "../../base/or-aborted.js";

/** How many may be there at a time. */
export class Places {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(most: number) {
    this.#free = most;
  }

  /** Waits for a place; what is given gives it back. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let isTaken = true;
    return () => {
      if (isTaken) this.#giveBack();
      isTaken = false;
    };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    let enter: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      enter = resolve;
    });
    this.#waiting.push(enter);
    try {
      await orAborted(turn, signal);
    } catch (thrown) {
      const at = this.#waiting.indexOf(enter);
      if (at < 0)
        this.#giveBack(); // its turn had come
      else this.#waiting.splice(at, 1);
      throw thrown;
    }
  }

  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
