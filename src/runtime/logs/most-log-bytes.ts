import type { PodSpec } from "../pod/pod-spec.js";

/** Of a container of agents, with what has been rotated. */
const mostBytes = 4 * 1024 * 1024;

/** kubelet rotates the logs of its containers, and asks for the new file; those of agents' sandboxes nobody does. */
export function mostLogBytes({ madeFor }: Pick<PodSpec, "madeFor">): number {
  return madeFor === "agents" ? mostBytes : Number.POSITIVE_INFINITY;
}
