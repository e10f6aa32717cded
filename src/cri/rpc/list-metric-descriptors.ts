import type { ListMetricDescriptorsResponse } from "../../gen/runtime/v1/api.js";
import { descriptors } from "../../runtime/stats/metrics/families.js";
import { criDescriptor } from "../map/metrics.js";

/**
 * CRI ListMetricDescriptors: every metric that ListPodSandboxMetrics may have.
 * Source: api.proto, rpc ListMetricDescriptors; caller: kubelet with PodAndContainerStatsFromCRI, once, at its start.
 */
export async function listMetricDescriptors(): Promise<ListMetricDescriptorsResponse> {
  return { descriptors: descriptors().map(criDescriptor) };
}
