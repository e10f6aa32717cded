import { RuntimeError } from "../../base/errors.js";
import type { StreamPodSandboxMetricsResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamPodSandboxMetrics: not built. */
export function streamPodSandboxMetrics(): AsyncIterable<StreamPodSandboxMetricsResponse> {
  throw new RuntimeError("unimplemented", "metrics over CRI are not built yet", { stage: "StreamPodSandboxMetrics" });
}
