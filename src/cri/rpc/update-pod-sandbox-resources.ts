import type { UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse } from "../../gen/runtime/v1/api.js";
import { resizePod } from "../../runtime/pod/resize.js";
import type { CallContext, Deps } from "../deps.js";
import { resourceSpecOf } from "../map/resources.js";

/**
 * CRI UpdatePodSandboxResources. What fits into the Box that the pod was given is granted (kubelet sets the pod's own control
 * group, in which the Box lives), what doesn't is refused, and kubelet then rejects the resize.
 * Source: api.proto, rpc UpdatePodSandboxResources; caller: kubelet's in-place resize (pkg/kubelet/kuberuntime).
 */
export async function updatePodSandboxResources(
  request: UpdatePodSandboxResourcesRequest,
  call: CallContext,
  deps: Deps,
): Promise<UpdatePodSandboxResourcesResponse> {
  const sandbox = deps.sandboxes.require(request.podSandboxId);
  const { resources, overhead } = request;
  const limits = {
    ...(resources === undefined ? {} : { resources: resourceSpecOf(resources) }),
    ...(overhead === undefined ? {} : { overhead: resourceSpecOf(overhead) }),
  };
  const memoryMib = await resizePod(sandbox, limits, deps, call.signal);
  if (memoryMib === undefined) return {};
  call.log.info({ sandboxId: sandbox.id, memoryMib: String(memoryMib) }, "pod resources fit its box");
  return {};
}
