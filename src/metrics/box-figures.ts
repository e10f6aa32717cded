import { Counter, Gauge, type Registry } from "prom-client";

/** What became of a sandbox that another daemon has left. */
export const recoveryOutcomes = ["adopted", "lost", "discarded", "notReady", "failed"] as const;
export type RecoveryOutcome = (typeof recoveryOutcomes)[number];

/** How a machine came up; `fallback`: it booted because it could not go on from its template. */
export const boxStarts = ["boot", "template", "fallback"] as const;
export type BoxStart = (typeof boxStarts)[number];

/** How Boxes fare without being asked: those that ended by themselves, those that a restart found. */
export class BoxFigures {
  readonly #register: Registry;
  readonly #lost: Counter;
  readonly #started: Counter<"by">;
  readonly #recovered: Counter<"outcome">;
  readonly #recoverySeconds: Gauge;

  constructor(register: Registry) {
    this.#register = register;
    this.#lost = new Counter({
      name: "a3s_box_boxes_lost_total",
      help: "Pods that ended although nobody had stopped them; kubelet starts them again.",
      registers: [register],
    });
    this.#started = new Counter({
      name: "a3s_box_boxes_started_total",
      help: "Boxes that came up: booted, gone on from a template, booted because they could not go on.",
      labelNames: ["by"],
      registers: [register],
    });
    for (const by of boxStarts) this.#started.inc({ by }, 0);
    this.#recovered = new Counter({
      name: "a3s_box_recovered_sandboxes_total",
      help: "Sandboxes of an earlier daemon by what this one found: adopted, ended meanwhile, half-made and discarded, not ready, failed.",
      labelNames: ["outcome"],
      registers: [register],
    });
    for (const outcome of recoveryOutcomes) this.#recovered.inc({ outcome }, 0);
    this.#recoverySeconds = new Gauge({
      name: "a3s_box_recovery_seconds",
      help: "From this daemon's start until all that an earlier one had left was taken up; 0 while that goes on.",
      registers: [register],
    });
  }

  started(by: BoxStart): void {
    this.#started.inc({ by });
  }

  lost(): void {
    this.#lost.inc();
  }

  recovered(outcome: RecoveryOutcome): void {
    this.#recovered.inc({ outcome });
  }

  recoveryEnded(ms: number): void {
    this.#recoverySeconds.set(ms / 1000);
  }

  /** Asked each time that somebody wants to know. */
  watchMemory(bytes: () => Promise<bigint>): void {
    new Gauge({
      name: "a3s_box_memory_bytes",
      help: "Memory of the host that all pods take: of a Box its VMM and file server (PSS), of a pod of the host its control group.",
      registers: [this.#register],
      async collect() {
        this.set(Number(await bytes()));
      },
    });
  }
}
