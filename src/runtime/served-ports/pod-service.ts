/**
 * Ports of a pod behind which is the host: the agent listens on them in the pod's network, and each connection comes to a
 * service of the daemon (docs/adr/0113). A service registers itself once, before the daemon serves; the
 * engine knows its name and its ports.
 */
import type { HandlerConfig } from "../../config/config.js";
import type { PodSpec } from "../pod/pod-spec.js";
import type { Pod } from "../pod/pod.js";
import type { PortStream } from "./port-stream.js";
import type { ServedPort } from "./served-by-host.js";

/** Who has connected. What the guest says of it is only said: it may be untrue. */
export interface ConnectionAbout {
  readonly pod: Pod;
  readonly port: number;
  /** "10.88.0.7:41234", "[::1]:41234"; "": the agent has named none. */
  readonly peer: string;
}

/** What a service has for one pod. */
export interface PodConnections {
  /**
   * A connection, which is the service's from now on: it ends it, or destroys it, which resets it in the pod. It is
   * destroyed when the Box has gone, the agent's channel has broken, or the daemon ends. Must not throw.
   */
  connected(stream: PortStream, about: ConnectionAbout): void;
  /** The pod has ended; its connections are destroyed already. Not called when the daemon ends. */
  ended(): void;
}

export interface PodService {
  /** Kept in the records of pods: "runtime-api", "llm". Never given to another service. */
  readonly name: string;
  /**
   * What a new pod is to have of it; none: []. Asked before anything is made, and never again: what it says is a fact of the
   * pod. Throws `invalidArgument` where the pod may not have what it asks for.
   */
  portsFor(spec: PodSpec, handler: HandlerConfig): readonly ServedPort[];
  /** What containers of a pod that has ports of it have in their environment, unless they or their image say otherwise. */
  environmentOf?(pod: Pod): Readonly<Record<string, string>>;
  /**
   * A pod that has ports of it is there: a new one, before its containers, or one of an earlier daemon. Absent: the daemon
   * does not serve it, and `portsFor` says so to those who ask.
   */
  open?(pod: Pod, since: "made" | "takenUp"): PodConnections;
}
