import { Counter, Gauge, type Registry } from "prom-client";

/** As `vmm/pool` has them, which this does not know. */
const missReasons = ["driver", "users", "network", "size", "empty", "broken"] as const;

/** What a pool is like now. */
export interface PoolSight {
  readonly classes: readonly { readonly name: string; readonly wanted: number; readonly ready: number }[];
  readonly oldestNs: bigint | undefined;
}

/** Boxes that are up before a pod asks for one. */
export class PoolFigures {
  readonly #register: Registry;
  readonly #hits: Counter;
  readonly #misses: Counter<"reason">;

  constructor(register: Registry) {
    this.#register = register;
    this.#hits = new Counter({
      name: "a3s_box_pool_hits_total",
      help: "Pods that got a Box that was ready.",
      registers: [register],
    });
    this.#misses = new Counter({
      name: "a3s_box_pool_misses_total",
      help: "Pods of handlers with ready Boxes that got none, by reason: driver, users, network, size (none is like it), empty, broken.",
      labelNames: ["reason"],
      registers: [register],
    });
    for (const reason of missReasons) this.#misses.inc({ reason }, 0);
  }

  hit(): void {
    this.#hits.inc();
  }

  miss(reason: (typeof missReasons)[number]): void {
    this.#misses.inc({ reason });
  }

  /** Asked each time that somebody wants to know. Sizes are the configuration's: there are few. */
  watch(sight: () => PoolSight, memory: () => Promise<bigint>, nowNs: () => bigint): void {
    const registers = [this.#register];
    new Gauge({
      name: "a3s_box_pool_boxes",
      help: "Boxes by size (driver, CPUs, MiB) that are ready, and that are wanted.",
      labelNames: ["size", "state"],
      registers,
      collect() {
        for (const { name: size, ready, wanted } of sight().classes) {
          this.set({ size, state: "ready" }, ready);
          this.set({ size, state: "wanted" }, wanted);
        }
      },
    });
    new Gauge({
      name: "a3s_box_pool_oldest_seconds",
      help: "Age of the oldest Box that is ready; 0: none is.",
      registers,
      collect() {
        const { oldestNs } = sight();
        this.set(oldestNs === undefined ? 0 : Number(nowNs() - oldestNs) / 1e9);
      },
    });
    new Gauge({
      name: "a3s_box_pool_memory_bytes",
      help: "Memory of the host that Boxes take which are ready (PSS); no pod's, and beside a3s_box_memory_bytes.",
      registers,
      async collect() {
        this.set(Number(await memory()));
      },
    });
  }
}
