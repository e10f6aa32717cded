import { RuntimeError } from "../../base/errors.js";
import type { PodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI PodSandboxStats: not built. */
export function podSandboxStats(): Promise<PodSandboxStatsResponse> {
  throw new RuntimeError(
    "unimplemented",
    "pod statistics are not built yet; kubelet falls back to ListContainerStats",
    { stage: "PodSandboxStats" },
  );
}
