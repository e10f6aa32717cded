import type { RemoveContainerRequest, RemoveContainerResponse } from "../../gen/runtime/v1/api.js";
import { removeContainerOf } from "../../runtime/container/remove.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI RemoveContainer. Idempotent: an unknown container is success; a running one is killed. Log files stay.
 * Source: api.proto, rpc RemoveContainer; caller: kubelet's garbage collection.
 */
export async function removeContainer(
  request: RemoveContainerRequest,
  call: CallContext,
  deps: Deps,
): Promise<RemoveContainerResponse> {
  const container = deps.containers.find(request.containerId);
  if (container === undefined) return {};
  await removeContainerOf(container, deps.containers, call.signal);
  return {};
}
