import { Counter, type Registry } from "prom-client";
import type { ErrorCode } from "../base/errors.js";

/** Why a sandbox for agents has ended. */
export const sandboxEnds = ["request", "time", "idle", "owner", "lost", "unfinished"] as const;
export type SandboxEnd = (typeof sandboxEnds)[number];

/** How sandboxes for agents come and go. Nothing of a tenant is in them: who may have how many is no label. */
export class SandboxFigures {
  readonly #created: Counter<"outcome">;
  readonly #ended: Counter<"reason">;

  constructor(register: Registry) {
    this.#created = new Counter({
      name: "a3s_box_agent_sandboxes_created_total",
      help: "Sandboxes for agents that were asked for, by outcome: ok, or the code of the error.",
      labelNames: ["outcome"],
      registers: [register],
    });
    this.#created.inc({ outcome: "ok" }, 0);
    this.#ended = new Counter({
      name: "a3s_box_agent_sandboxes_ended_total",
      help: "Sandboxes for agents that have ended, by reason: request, time, idle, owner, lost (its Box has gone), unfinished.",
      labelNames: ["reason"],
      registers: [register],
    });
    for (const reason of sandboxEnds) this.#ended.inc({ reason }, 0);
  }

  created(outcome: "ok" | ErrorCode): void {
    this.#created.inc({ outcome });
  }

  ended(reason: SandboxEnd): void {
    this.#ended.inc({ reason });
  }
}
