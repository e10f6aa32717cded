import { monotonicMs } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { PortFigures, Refusal } from "../../metrics/port-figures.js";

/** One line of a kind in that time: whoever is refused may try as often as it likes. */
const lineEveryMs = 5_000;

/** Counts whom the port turns away, and says why in the log, a few times. */
export class Refused {
  readonly #log: Logger;
  readonly #figures: PortFigures;
  readonly #last = new Map<Refusal, { atMs: number; unsaid: number }>();

  constructor(log: Logger, figures: PortFigures) {
    this.#log = log;
    this.#figures = figures;
  }

  /** `from`: who it was, as far as that is known. */
  tell(reason: Refusal, from: string, why: string): void {
    this.#figures.refused(reason);
    const last = this.#last.get(reason) ?? { atMs: Number.NEGATIVE_INFINITY, unsaid: 0 };
    this.#last.set(reason, last);
    if (monotonicMs() - last.atMs < lineEveryMs) {
      last.unsaid += 1;
      return;
    }
    const more = last.unsaid === 0 ? {} : { moreLikeIt: last.unsaid };
    this.#log.info({ reason, from, why, ...more }, "refused a caller");
    last.atMs = monotonicMs();
    last.unsaid = 0;
  }
}
