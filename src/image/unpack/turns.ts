/**
 * Which unpackers run at once. One that waits for its download never keeps back one whose blob is there: the first kind
 * takes places of its own, while there are any, and does without when there are none; the second kind ends by itself.
 */
import { RuntimeError } from "../../base/errors.js";

/** Whom a place is for: the layers of one pull, or of one import. */
export type Owner = symbol;

export interface Turn {
  /** A second call does nothing. */
  release(): void;
}

/** Ahead of a download: it costs little while it waits, and shares the processors with all else when it works. */
const maxAhead = 6;
/** Of those whose blob is there, which work until they are done. */
const maxWhole = 4;

interface Waiting {
  readonly owner: Owner;
  readonly begin: () => void;
}

export class Turns {
  #ahead = 0;
  /** How many each owner has running. */
  readonly #whole = new Map<Owner, number>();
  readonly #waiting: Waiting[] = [];

  /** Undefined when all places are taken: the layer is unpacked once it has come, then. */
  ahead(): Turn | undefined {
    if (this.#ahead >= maxAhead) return undefined;
    this.#ahead += 1;
    return once(() => {
      this.#ahead -= 1;
    });
  }

  /** Waits for a place; `canceled` at once when it is aborted. */
  async whole(owner: Owner, signal: AbortSignal): Promise<Turn> {
    if (signal.aborted) throw givenUp();
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        owner,
        begin: () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      const abort = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(givenUp());
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(waiting);
      this.#next();
    });
    return once(() => {
      this.#count(owner, -1);
      this.#next();
    });
  }

  /** The owner that has the fewest comes first, and of those who has waited longest. */
  #next(): void {
    const running = [...this.#whole.values()].reduce((sum, count) => sum + count, 0);
    if (running >= maxWhole || this.#waiting.length === 0) return;
    const least = Math.min(...this.#waiting.map(({ owner }) => this.#whole.get(owner) ?? 0));
    const at = this.#waiting.findIndex(({ owner }) => (this.#whole.get(owner) ?? 0) === least);
    const [next] = this.#waiting.splice(at, 1);
    if (next === undefined) return;
    this.#count(next.owner, 1);
    next.begin();
    this.#next();
  }

  #count(owner: Owner, change: number): void {
    const count = (this.#whole.get(owner) ?? 0) + change;
    if (count === 0) this.#whole.delete(owner);
    else this.#whole.set(owner, count);
  }
}

function givenUp(): RuntimeError {
  return new RuntimeError("canceled", "given up");
}

function once(release: () => void): Turn {
  let released = false;
  return {
    release: () => {
      if (released) return;
      released = true;
      release();
    },
  };
}
