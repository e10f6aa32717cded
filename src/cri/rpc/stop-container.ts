import type { StopContainerRequest, StopContainerResponse } from "../../gen/runtime/v1/api.js";
import { stopRunning } from "../../runtime/container/stop.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI StopContainer. Idempotent: an unknown or exited container is success. Answers when the exit has been recorded.
 * Source: api.proto, rpc StopContainer; caller: kubelet KR killContainer, deadline 2 min + timeout.
 */
export async function stopContainer(
  request: StopContainerRequest,
  call: CallContext,
  deps: Deps,
): Promise<StopContainerResponse> {
  const container = deps.containers.find(request.containerId);
  if (container === undefined) return {};
  const graceMs = graceMsOf(request.timeout);
  call.log.debug({ containerId: container.id, graceMs }, "stopping container");
  await stopRunning(container, graceMs, deps.containers, call.signal);
  return {};
}

/** Seconds on the wire; at most what a timer can wait (24 days). */
function graceMsOf(timeoutSeconds: bigint): number {
  if (timeoutSeconds <= 0n) return 0;
  return timeoutSeconds > 2_000_000n ? 2_000_000_000 : Number(timeoutSeconds) * 1000;
}
