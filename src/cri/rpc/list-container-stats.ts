import type { ListContainerStatsRequest, ListContainerStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { usageOf } from "../../runtime/stats/container-stats.js";
import { containerStatsOf, measured } from "../map/container-stats.js";

/**
 * CRI ListContainerStats: running containers, by any combination of id, sandbox and labels.
 * Source: api.proto, rpc ListContainerStats; caller: kubelet, every 10 s.
 */
export async function listContainerStats(
  request: ListContainerStatsRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListContainerStatsResponse> {
  const usage = await usageOf(measured(request.filter, deps), deps, call.signal);
  return { stats: usage.map(containerStatsOf) };
}
