/**
 * Source: api.proto, ContainerEventResponse; reader: kubelet pkg/kubelet/pleg (evented.go), which takes a pod's new state
 * from the statuses in the event and asks for nothing more.
 */
import { ContainerEventType, type ContainerEventResponse } from "../../gen/runtime/v1/api.js";
import type { ContainerEvent, Happening } from "../../runtime/events/container-event.js";
import { containerStatusOf } from "./container-status.js";
import { podSandboxStatusOf } from "./pod-status.js";

const types = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
} satisfies Record<Happening, ContainerEventType>;

export function criEvent({ happening, id, atNs, pod, containers }: ContainerEvent): ContainerEventResponse {
  return {
    containerId: id,
    containerEventType: types[happening],
    createdAt: atNs,
    podSandboxStatus: pod && podSandboxStatusOf(pod),
    containersStatuses: containers.map(containerStatusOf),
  };
}
