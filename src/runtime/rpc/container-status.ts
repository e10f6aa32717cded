import { RuntimeError } from "../../base/errors.js";
import type { ContainerStatusResponse } from "../../gen/runtime/v1/api.js";

/** CRI ContainerStatus: not built. */
export function containerStatus(): Promise<ContainerStatusResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ContainerStatus" });
}
