import { Counter, Gauge, type Registry } from "prom-client";

/** Where a connection of the agents' edge came in. */
export const listenerKinds = ["tcp", "tls", "unix", "vsock"] as const;
export type ListenerKind = (typeof listenerKinds)[number];

export const refusals = ["peer", "token", "host", "page", "bytes", "silent", "room", "tls"] as const;
/** Why somebody was turned away: nothing that a client sends becomes a label. */
export type Refusal = (typeof refusals)[number];

/** The port of the agents' edge. */
export class PortFigures {
  readonly #connections: Gauge<"listener">;
  readonly #requests: Counter<"protocol" | "outcome">;
  readonly #refused: Counter<"reason">;

  constructor(register: Registry) {
    const registers = [register];
    this.#connections = new Gauge({
      name: "a3s_box_sandbox_port_connections",
      help: "Connections to the agents' edge, by how they came.",
      labelNames: ["listener"],
      registers,
    });
    this.#requests = new Counter({
      name: "a3s_box_sandbox_port_requests_total",
      help: "Requests to the agents' edge that ended, by protocol and status: 2xx to 5xx, a name of gRPC's, or aborted.",
      labelNames: ["protocol", "outcome"],
      registers,
    });
    this.#refused = new Counter({
      name: "a3s_box_sandbox_port_refused_total",
      help: "Connections and requests that were refused before anybody looked at what they ask.",
      labelNames: ["reason"],
      registers,
    });
    for (const listener of listenerKinds) this.#connections.set({ listener }, 0);
    for (const reason of refusals) this.#refused.inc({ reason }, 0);
  }

  /** What it returns is called once, when it is closed. */
  connected(listener: ListenerKind): () => void {
    this.#connections.inc({ listener });
    return () => {
      this.#connections.dec({ listener });
    };
  }

  /** `protocol`: a name of ours. */
  ended(protocol: string, outcome: string): void {
    this.#requests.inc({ protocol, outcome });
  }

  refused(reason: Refusal): void {
    this.#refused.inc({ reason });
  }
}
