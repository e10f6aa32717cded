/**
 * Events made of what has happened. Source: api.proto, ContainerEventResponse; reader: kubelet pkg/kubelet/pleg
 * (evented.go), which takes a pod's new state from the statuses in the event and asks for nothing more.
 */
import { ContainerEventType } from "../../gen/runtime/v1/api.js";
import { containerStatusOf } from "../container/status.js";
import type { Container } from "../container/container.js";
import { podSandboxStatusOf } from "../pod/status.js";
import type { Sandbox } from "../pod/sandbox.js";
import type { ContainerEvents } from "./container-events.js";

export type Happening = "created" | "started" | "stopped" | "deleted";

const types = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
} satisfies Record<Happening, ContainerEventType>;

/** Of a sandbox when `id` is its own, else of one of its containers. `containers`: all that it has now. */
export function publish(
  events: ContainerEvents,
  happening: Happening,
  id: string,
  sandbox: Sandbox | undefined,
  containers: () => readonly Container[],
): void {
  events.publish(() => ({
    containerId: id,
    containerEventType: types[happening],
    podSandboxStatus: sandbox === undefined ? undefined : podSandboxStatusOf(sandbox),
    containersStatuses: containers().map(containerStatusOf),
  }));
}
