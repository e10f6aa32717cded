/** What a label may be when others choose its values: a pod's author names any registry he likes. */
export const otherLabel = "other";

/** Gives out at most `limit` values, in the order in which they come, after those known from the start. */
export class BoundedLabels {
  readonly #limit: number;
  readonly #known: Set<string>;

  constructor(limit: number, known: readonly string[] = []) {
    this.#limit = limit;
    this.#known = new Set(known);
  }

  /** The value itself, or "other" when there are too many by now. */
  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#limit) return otherLabel;
    this.#known.add(value);
    return value;
  }
}
