import { Histogram, type Registry } from "prom-client";

const stageBuckets = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** The stages of a sandbox's start, whose names are the runtime's own. */
export class StartFigures {
  readonly #seconds: Histogram<"stage">;

  constructor(register: Registry) {
    this.#seconds = new Histogram({
      name: "a3s_box_sandbox_start_stage_seconds",
      help: "Stages of the start of sandboxes that became ready. Boot and network go on side by side.",
      labelNames: ["stage"],
      buckets: stageBuckets,
      registers: [register],
    });
  }

  ready(stages: readonly { readonly name: string; readonly ms: number }[]): void {
    for (const { name, ms } of stages) this.#seconds.observe({ stage: name }, ms / 1000);
  }
}
