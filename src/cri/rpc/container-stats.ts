import type { ContainerStatsRequest, ContainerStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { usageOf } from "../../runtime/stats/container-stats.js";
import { containerStatsOf } from "../map/container-stats.js";

/** CRI ContainerStats. Source: api.proto, rpc ContainerStats; caller: node tools. */
export async function containerStats(
  request: ContainerStatsRequest,
  call: CallContext,
  deps: Deps,
): Promise<ContainerStatsResponse> {
  const container = deps.containers.require(request.containerId);
  const [usage] = await usageOf([container], deps, call.signal);
  return { stats: usage && containerStatsOf(usage) };
}
