import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { secondsSince } from "./seconds-since.js";

const callBuckets = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240];

/** CRI calls by RPC. The names are those of the proto: nothing that a client sends becomes a label. */
export class CallFigures {
  readonly #inFlight: Gauge<"rpc">;
  readonly #calls: Counter<"rpc" | "code">;
  readonly #seconds: Histogram<"rpc">;

  constructor(register: Registry) {
    const registers = [register];
    this.#inFlight = new Gauge({
      name: "a3s_box_cri_calls_in_flight",
      help: "CRI calls under way.",
      labelNames: ["rpc"],
      registers,
    });
    this.#calls = new Counter({
      name: "a3s_box_cri_calls_total",
      help: "CRI calls that ended, by RPC and gRPC status code.",
      labelNames: ["rpc", "code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "a3s_box_cri_call_seconds",
      help: "CRI calls that ended, by RPC.",
      labelNames: ["rpc"],
      buckets: callBuckets,
      registers,
    });
  }

  /** What it returns is called once, with the name of the call's status: "OK", "NOT_FOUND". */
  began(rpc: string): (code: string) => void {
    const seconds = secondsSince();
    this.#inFlight.inc({ rpc });
    return (code) => {
      this.#inFlight.dec({ rpc });
      this.#calls.inc({ rpc, code });
      this.#seconds.observe({ rpc }, seconds());
    };
  }
}
