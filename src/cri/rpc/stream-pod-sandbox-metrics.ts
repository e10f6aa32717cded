import type { StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { inParts } from "../in-parts.js";
import { metricsOf } from "../../runtime/stats/metrics/pod-metrics.js";
import { criMetrics } from "../map/metrics.js";
import { measuredSandboxes } from "../map/pod-stats.js";

/** CRI StreamPodSandboxMetrics: ListPodSandboxMetrics in parts, each measured when its turn comes. */
export async function* streamPodSandboxMetrics(
  _request: StreamPodSandboxMetricsRequest,
  call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamPodSandboxMetricsResponse> {
  for (const part of inParts(measuredSandboxes(undefined, deps))) {
    yield { podSandboxMetrics: (await metricsOf(part, deps, call.signal)).map(criMetrics) };
  }
}
