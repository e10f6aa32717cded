/** Events made of what has happened to pods and containers. */
import type { Container, ContainerFacts } from "../container/container.js";
import type { Sandbox, SandboxFacts } from "../pod/sandbox.js";
import type { ContainerEvents } from "./container-events.js";

export type Happening = "created" | "started" | "stopped" | "deleted";

/** What has happened, and how the whole pod was at that moment. */
export interface ContainerEvent {
  readonly happening: Happening;
  /** Of a pod, or of one of its containers. */
  readonly id: string;
  /** Unix time, rising from event to event. */
  readonly atNs: bigint;
  /** undefined: the pod is not known any more. */
  readonly pod: SandboxFacts | undefined;
  /** All that the pod has. */
  readonly containers: readonly ContainerFacts[];
}

/** Of a sandbox when `id` is its own, else of one of its containers. `containers`: all that it has now. */
export function publish(
  events: ContainerEvents,
  happening: Happening,
  id: string,
  sandbox: Sandbox | undefined,
  containers: () => readonly Container[],
): void {
  events.publish(() => ({
    happening,
    id,
    pod: sandbox?.facts(),
    containers: containers().map((container) => container.facts()),
  }));
}
