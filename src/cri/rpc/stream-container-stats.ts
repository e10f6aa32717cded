import type { StreamContainerStatsRequest, StreamContainerStatsResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { inParts } from "../in-parts.js";
import { usageOf } from "../../runtime/stats/container-stats.js";
import { containerStatsOf, measured } from "../map/container-stats.js";

/** CRI StreamContainerStats: ListContainerStats in parts, each measured when its turn comes. */
export async function* streamContainerStats(
  request: StreamContainerStatsRequest,
  call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamContainerStatsResponse> {
  for (const part of inParts(measured(request.filter, deps))) {
    yield { containerStats: (await usageOf(part, deps, call.signal)).map(containerStatsOf) };
  }
}
