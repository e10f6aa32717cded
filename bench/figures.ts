import { monotonicMs } from "../src/base/clock.js";
import { percentile, row, type Row } from "./report.js";

/** Measurements by the name of what they are of, as they come. */
export class Figures {
  readonly #rows = new Map<string, { readonly unit: string; readonly values: number[] }>();

  add(name: string, unit: string, value: number): void {
    const known = this.#rows.get(name) ?? { unit, values: [] };
    known.values.push(value);
    this.#rows.set(name, known);
  }

  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const beganMs = monotonicMs();
    const result = await work();
    this.add(name, "ms", monotonicMs() - beganMs);
    return result;
  }

  p50(name: string): number {
    return percentile(this.#of(name), 50);
  }

  most(name: string): number {
    return Math.max(...this.#of(name));
  }

  rows(): Row[] {
    return [...this.#rows].map(([name, { unit, values }]) => row(name, unit, values));
  }

  #of(name: string): readonly number[] {
    return this.#rows.get(name)?.values ?? [];
  }
}
