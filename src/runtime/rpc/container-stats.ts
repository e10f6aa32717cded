import { RuntimeError } from "../../base/errors.js";
import type { ContainerStatsResponse } from "../../gen/runtime/v1/api.js";

/** CRI ContainerStats: not built. */
export function containerStats(): Promise<ContainerStatsResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ContainerStats" });
}
