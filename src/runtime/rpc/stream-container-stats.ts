import { RuntimeError } from "../../base/errors.js";
import type { StreamContainerStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamContainerStats: not built. */
export function streamContainerStats(): AsyncIterable<StreamContainerStatsResponse> {
  throw new RuntimeError("unimplemented", "streamed lists are not built yet; use ListContainerStats", {
    stage: "StreamContainerStats",
  });
}
