import type { ContainerEventResponse, GetEventsRequest } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { criEvent } from "../map/events.js";
import type { ContainerEvent } from "../../runtime/events/container-event.js";

/**
 * CRI GetContainerEvents: what happens to sandboxes and containers of CRI from now on, until the caller leaves. The answer's
 * headers are sent when the subscription stands: who lists after them misses nothing.
 * Source: api.proto, rpc GetContainerEvents; caller: kubelet's evented PLEG (pkg/kubelet/pleg/evented.go).
 */
export function getContainerEvents(
  _request: GetEventsRequest,
  call: CallContext,
  deps: Deps,
): AsyncIterable<ContainerEventResponse> {
  return criEvents(deps.events.subscribe(call.signal));
}

async function* criEvents(events: AsyncIterable<ContainerEvent>): AsyncGenerator<ContainerEventResponse> {
  for await (const event of events) if (event.pod?.spec.madeFor === undefined) yield criEvent(event);
}
