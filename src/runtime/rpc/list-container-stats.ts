import type { ListContainerStatsRequest, ListContainerStatsResponse } from "../../gen/runtime/v1/api.js";
import { fitsFilter } from "../container/status.js";
import type { CallContext, Deps } from "../deps.js";
import { statsOf } from "../stats/container-stats.js";

/**
 * CRI ListContainerStats: running containers, by any combination of id, sandbox and labels.
 * Source: api.proto, rpc ListContainerStats; caller: kubelet, every 10 s.
 */
export async function listContainerStats(
  request: ListContainerStatsRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListContainerStatsResponse> {
  const filter = request.filter === undefined ? undefined : { ...request.filter, state: undefined };
  const fitting = deps.containers
    .list()
    .filter((container) => container.state === "running" && fitsFilter(container, filter));
  return { stats: await statsOf(fitting, deps, call.signal) };
}
