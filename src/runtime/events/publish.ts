/** Events made of what has happened to pods and containers. */
import type { Container } from "../container/container.js";
import type { Pod } from "../pod/pod.js";
import type { Happening } from "./container-event.js";
import type { ContainerEvents } from "./container-events.js";

/** Of a sandbox when `id` is its own, else of one of its containers. `containers`: all that it has now. */
export function publish(
  events: ContainerEvents,
  happening: Happening,
  id: string,
  sandbox: Pod | undefined,
  containers: () => readonly Container[],
): void {
  events.publish(() => ({
    happening,
    id,
    pod: sandbox?.facts(),
    containers: containers().map((container) => container.facts()),
  }));
}
