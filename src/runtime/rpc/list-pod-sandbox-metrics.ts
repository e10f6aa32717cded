import { RuntimeError } from "../../base/errors.js";
import type { ListPodSandboxMetricsResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListPodSandboxMetrics: not built. */
export function listPodSandboxMetrics(): Promise<ListPodSandboxMetricsResponse> {
  throw new RuntimeError("unimplemented", "metrics over CRI are not built yet", { stage: "ListPodSandboxMetrics" });
}
