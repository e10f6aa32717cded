import { Counter, type Registry } from "prom-client";

/** What sandboxes were kept from reaching. No label says which. */
export class EgressFigures {
  readonly #register: Registry;

  constructor(register: Registry) {
    this.#register = register;
  }

  /** `totals`: of this daemon's time, only ever growing; read when somebody asks. */
  watch(reasons: readonly string[], totals: () => Promise<Readonly<Record<string, number>>>): void {
    const told = new Map<string, number>();
    const counter = new Counter({
      name: "a3s_box_egress_refused_total",
      help: "Packets and questions for names that sandboxes were refused, by reason.",
      labelNames: ["reason"],
      registers: [this.#register],
      async collect() {
        for (const [reason, count] of Object.entries(await totals())) {
          const more = count - (told.get(reason) ?? 0);
          if (more <= 0) continue;
          this.inc({ reason }, more);
          told.set(reason, count);
        }
      },
    });
    for (const reason of reasons) counter.inc({ reason }, 0);
  }
}
