import { RuntimeError } from "../../base/errors.js";
import type { UpdateContainerResourcesRequest, UpdateContainerResourcesResponse } from "../../gen/runtime/v1/api.js";
import { updateResources } from "../../runtime/container/update-resources.js";
import type { CallContext, Deps } from "../deps.js";
import { resourceSpecOf } from "../map/resources.js";

/**
 * CRI UpdateContainerResources. What is zero or empty stays as it is; on an error nothing has changed.
 * Source: api.proto, rpc UpdateContainerResources; caller: kubelet's in-place resize and CPU manager.
 */
export async function updateContainerResources(
  request: UpdateContainerResourcesRequest,
  call: CallContext,
  deps: Deps,
): Promise<UpdateContainerResourcesResponse> {
  const container = deps.containers.require(request.containerId);
  if (request.linux === undefined) throw new RuntimeError("invalidArgument", "linux is not set");
  await updateResources(container, resourceSpecOf(request.linux), deps, call.signal);
  return {};
}
