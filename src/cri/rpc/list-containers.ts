import type { ListContainersRequest, ListContainersResponse } from "../../gen/runtime/v1/api.js";
import { containerItem, fitsFilter } from "../map/container-status.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI ListContainers, by any combination of id, sandbox, state and labels; no filter is all. Never waits: kubelet asks
 * every second.
 */
export async function listContainers(
  request: ListContainersRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListContainersResponse> {
  const fitting = deps.containers.list().filter((container) => fitsFilter(container, request.filter));
  return { containers: fitting.map((container) => containerItem(container)) };
}
