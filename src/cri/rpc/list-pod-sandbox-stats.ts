import type { ListPodSandboxStatsRequest, ListPodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { sandboxUsageOf } from "../../runtime/stats/pod-stats.js";
import { measuredSandboxes, podSandboxStatsOf } from "../map/pod-stats.js";

/**
 * CRI ListPodSandboxStats: READY sandboxes, by any combination of id and labels.
 * Source: api.proto, rpc ListPodSandboxStats; callers: `crictl statsp`, kubelet with PodAndContainerStatsFromCRI.
 */
export async function listPodSandboxStats(
  request: ListPodSandboxStatsRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListPodSandboxStatsResponse> {
  const usage = await sandboxUsageOf(measuredSandboxes(request.filter, deps), deps, call.signal);
  return { stats: usage.map(podSandboxStatsOf) };
}
