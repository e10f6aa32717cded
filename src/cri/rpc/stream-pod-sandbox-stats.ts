import type { StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { inParts } from "../in-parts.js";
import { sandboxUsageOf } from "../../runtime/stats/pod-stats.js";
import { measuredSandboxes, podSandboxStatsOf } from "../map/pod-stats.js";

/** CRI StreamPodSandboxStats: ListPodSandboxStats in parts, each measured when its turn comes. */
export async function* streamPodSandboxStats(
  request: StreamPodSandboxStatsRequest,
  call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamPodSandboxStatsResponse> {
  for (const part of inParts(measuredSandboxes(request.filter, deps))) {
    yield { podSandboxStats: (await sandboxUsageOf(part, deps, call.signal)).map(podSandboxStatsOf) };
  }
}
