import { egressReasons, type EgressReason } from "./closed.js";

/** How many, by reason. */
export type Refused = Readonly<Partial<Record<EgressReason, number>>>;

/** Adds up what the kernel counts for each Box, which only ever grows, and what this process counts itself. */
export class RefusedTotals {
  readonly #all: Partial<Record<EgressReason, number>> = {};
  /** As each Box was read last. */
  readonly #last = new Map<string, Refused>();

  get all(): Refused {
    return this.#all;
  }

  add(reason: EgressReason, count = 1): void {
    this.#all[reason] = (this.#all[reason] ?? 0) + count;
  }

  /** What was counted before this daemon's time is not of it. */
  begin(id: string, refused: Refused): void {
    this.#last.set(id, refused);
  }

  /** Of two that read at the same time the one that has read first may be the last to tell. */
  read(id: string, refused: Refused): void {
    const last: Partial<Record<EgressReason, number>> = { ...this.#last.get(id) };
    for (const [reason, count] of entriesOf(refused)) {
      const more = count - (last[reason] ?? 0);
      if (more <= 0) continue;
      this.add(reason, more);
      last[reason] = count;
    }
    this.#last.set(id, last);
  }

  end(id: string): void {
    this.#last.delete(id);
  }
}

function entriesOf(refused: Refused): [EgressReason, number][] {
  const known = new Map<string, number>(Object.entries(refused));
  return egressReasons.flatMap((reason) => {
    const count = known.get(reason);
    return count === undefined ? [] : [[reason, count]];
  });
}
