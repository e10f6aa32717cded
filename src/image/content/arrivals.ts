/** Blobs on their way in, each from one sender: whoever wants one from there may read along before it is whole. */
import type { Digest } from "../../base/ids.js";

/**
 * A blob of one sender's: a registry by its host, "" for an archive. Who sends it slowly keeps nobody waiting that has the
 * same content from elsewhere.
 */
export type SentBlob = string;

export function sentBlob(blob: Digest, from: string): SentBlob {
  return `${blob} ${from}`;
}

export interface Arrival {
  /** The file that it is being written to, from its beginning on. */
  readonly path: string;
  /** True once all of it came and has its digest; false when it failed, and the file is gone. */
  readonly whole: Promise<boolean>;
}

export class Arrivals {
  readonly #underWay = new Map<SentBlob, Arrival>();
  readonly #waiting = new Map<SentBlob, Set<(arrival: Arrival) => void>>();

  /** The file is there. Gives what is to be called at its end. */
  begin(blob: SentBlob, path: string): (whole: boolean) => void {
    let end: (whole: boolean) => void = () => undefined;
    const whole = new Promise<boolean>((resolve) => {
      end = resolve;
    });
    const arrival: Arrival = { path, whole };
    this.#underWay.set(blob, arrival);
    for (const tell of this.#waiting.get(blob) ?? []) tell(arrival);
    return (isWhole) => {
      if (this.#underWay.get(blob) === arrival) this.#underWay.delete(blob);
      end(isWhole);
    };
  }

  /** The one under way, or the next one; undefined once `instead` has settled. */
  async next(blob: SentBlob, instead: Promise<unknown>): Promise<Arrival | undefined> {
    const known = this.#underWay.get(blob);
    if (known !== undefined) return known;
    const waiting = this.#waiting.get(blob) ?? new Set();
    this.#waiting.set(blob, waiting);
    let tell: ((arrival: Arrival) => void) | undefined;
    try {
      return await new Promise<Arrival | undefined>((resolve) => {
        tell = resolve;
        waiting.add(tell);
        const over = (): void => {
          resolve(undefined);
        };
        instead.then(over, over);
      });
    } finally {
      if (tell !== undefined) waiting.delete(tell);
      if (waiting.size === 0 && this.#waiting.get(blob) === waiting) this.#waiting.delete(blob);
    }
  }
}
