import { baseLabels, type FamilyName } from "./families.js";

/** Whose values they are. */
export type BaseLabels = Readonly<Record<(typeof baseLabels)[number], string>>;

const nsInSecond = 1_000_000_000n;
/** What 64 bits hold: sums of what a guest says could be more, and would cost the whole answer. */
const most = 2n ** 64n - 1n;

/** One value of a family, measured now. */
export interface Sample {
  readonly name: FamilyName;
  /** The base labels' and the family's, in their order. */
  readonly labelValues: readonly string[];
  readonly value: bigint;
}

/** Values of one container or pod, measured now. */
export class Samples {
  readonly all: Sample[] = [];
  readonly #base: readonly string[];

  constructor(labels: BaseLabels) {
    this.#base = baseLabels.map((key) => labels[key]);
  }

  /** One without a value is left out. The labels are those of the family, in its order. */
  put(name: FamilyName, value: bigint | undefined, ...labels: readonly string[]): void {
    if (value === undefined) return;
    const labelValues = [...this.#base, ...labels];
    this.all.push({ name, labelValues, value: value > most ? most : value });
  }

  putSeconds(name: FamilyName, ns: bigint | undefined, ...labels: readonly string[]): void {
    this.put(name, ns === undefined ? undefined : ns / nsInSecond, ...labels);
  }
}
