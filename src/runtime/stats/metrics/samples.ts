import type { Metric } from "../../../gen/runtime/v1/api.js";
import { baseLabels, familyOf, type FamilyName } from "./families.js";

/** Whose values they are. */
export type BaseLabels = Readonly<Record<(typeof baseLabels)[number], string>>;

const nsInSecond = 1_000_000_000n;
/** Of CRI UInt64Value: sums of what a guest says could be more, and would cost the whole answer. */
const most = 2n ** 64n - 1n;

/** Values of one container or pod, measured now. */
export class Samples {
  readonly metrics: Metric[] = [];
  readonly #base: readonly string[];

  constructor(labels: BaseLabels) {
    this.#base = baseLabels.map((key) => labels[key]);
  }

  /** One without a value is left out. The labels are those of the family, in its order. */
  put(name: FamilyName, value: bigint | undefined, ...labels: readonly string[]): void {
    if (value === undefined) return;
    const labelValues = [...this.#base, ...labels];
    // 0: measured for this call (api.proto, Metric.timestamp).
    const metricType = familyOf(name).type;
    this.metrics.push({
      name,
      timestamp: 0n,
      metricType,
      labelValues,
      value: { value: value > most ? most : value },
    });
  }

  putSeconds(name: FamilyName, ns: bigint | undefined, ...labels: readonly string[]): void {
    this.put(name, ns === undefined ? undefined : ns / nsInSecond, ...labels);
  }
}
