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

  read(id: string, refused: Refused): void {
    const before = this.#last.get(id) ?? {};
    for (const [reason, count] of entriesOf(refused)) {
      const more = count - (before[reason] ?? 0);
      if (more > 0) this.add(reason, more);
    }
    this.#last.set(id, refused);
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
