import { RuntimeError } from "../../base/errors.js";
import type { StreamPodSandboxStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamPodSandboxStats: not built. */
export function streamPodSandboxStats(): AsyncIterable<StreamPodSandboxStatsResponse> {
  throw new RuntimeError("unimplemented", "streamed lists are not built yet; use ListPodSandboxStats", {
    stage: "StreamPodSandboxStats",
  });
}
