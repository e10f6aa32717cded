import type { ContainerStatusRequest, ContainerStatusResponse } from "../../gen/runtime/v1/api.js";
import { containerInfo, containerStatusOf } from "../map/container-status.js";
import type { CallContext, Deps } from "../deps.js";

/** CRI ContainerStatus. `notFound` for an unknown container: kubelet skips it then, and fails on any other code. */
export async function containerStatus(
  request: ContainerStatusRequest,
  call: CallContext,
  deps: Deps,
): Promise<ContainerStatusResponse> {
  const container = deps.containers.require(request.containerId);
  return { status: containerStatusOf(container), info: request.verbose ? containerInfo(container) : {} };
}
