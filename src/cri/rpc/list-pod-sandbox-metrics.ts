import type { ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { metricsOf } from "../../runtime/stats/metrics/pod-metrics.js";
import { criMetrics } from "../map/metrics.js";
import { measuredSandboxes } from "../map/pod-stats.js";

/**
 * CRI ListPodSandboxMetrics: of every READY sandbox.
 * Source: api.proto, rpc ListPodSandboxMetrics; caller: kubelet's `/metrics/cadvisor` with PodAndContainerStatsFromCRI.
 */
export async function listPodSandboxMetrics(
  _request: ListPodSandboxMetricsRequest,
  call: CallContext,
  deps: Deps,
): Promise<ListPodSandboxMetricsResponse> {
  const metrics = await metricsOf(measuredSandboxes(undefined, deps), deps, call.signal);
  return { podMetrics: metrics.map(criMetrics) };
}
