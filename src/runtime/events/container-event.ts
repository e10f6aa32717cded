import type { ContainerFacts } from "../container/container.js";
import type { PodFacts } from "../pod/pod.js";

export type Happening = "created" | "started" | "stopped" | "deleted";

/** What has happened, and how the whole pod was at that moment. */
export interface ContainerEvent {
  readonly happening: Happening;
  /** Of a pod, or of one of its containers. */
  readonly id: string;
  /** Unix time, rising from event to event. */
  readonly atNs: bigint;
  /** undefined: the pod is not known any more. */
  readonly pod: PodFacts | undefined;
  /** All that the pod has. */
  readonly containers: readonly ContainerFacts[];
}
