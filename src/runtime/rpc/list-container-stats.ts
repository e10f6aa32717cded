import { RuntimeError } from "../../base/errors.js";
import type { ListContainerStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListContainerStats: not built. */
export function listContainerStats(): Promise<ListContainerStatsResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ListContainerStats" });
}
