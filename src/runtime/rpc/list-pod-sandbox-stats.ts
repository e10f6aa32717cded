import { RuntimeError } from "../../base/errors.js";
import type { ListPodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListPodSandboxStats: not built. */
export function listPodSandboxStats(): Promise<ListPodSandboxStatsResponse> {
  throw new RuntimeError(
    "unimplemented",
    "pod statistics are not built yet; kubelet falls back to ListContainerStats",
    { stage: "ListPodSandboxStats" },
  );
}
