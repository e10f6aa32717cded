import type { ListContainersRequest, ListContainersResponse } from "../../gen/runtime/v1/api.js";
import { containerItem } from "../map/container-status.js";
import type { CallContext, Deps } from "../deps.js";
import { shownContainers } from "../shown.js";

/**
 * CRI ListContainers, by any combination of id, sandbox, state and labels; no filter is all of CRI's own. Never waits: kubelet asks
 * every second.
 */
export async function listContainers(
  request: ListContainersRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListContainersResponse> {
  return { containers: shownContainers(request.filter, deps).map((container) => containerItem(container)) };
}
