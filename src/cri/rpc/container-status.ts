import type { ContainerStatusRequest, ContainerStatusResponse } from "../../gen/runtime/v1/api.js";
import { containerInfo } from "../map/container-info.js";
import { containerStatusOf } from "../map/container-status.js";
import type { CallContext, Deps } from "../deps.js";

/** CRI ContainerStatus. `notFound` for an unknown container: kubelet skips it then, and fails on any other code. */
export async function containerStatus(
  request: ContainerStatusRequest,
  call: CallContext,
  deps: Deps,
): Promise<ContainerStatusResponse> {
  const container = deps.containers.require(request.containerId);
  const info = request.verbose ? containerInfo(container, deps.sandboxes.find(container.sandboxId)) : {};
  return { status: containerStatusOf(container), info };
}
