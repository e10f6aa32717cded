import { RuntimeError } from "../../base/errors.js";
import type { UpdateRuntimeConfigResponse } from "../../gen/runtime/v1/api.js";

/** CRI UpdateRuntimeConfig: not built. */
export function updateRuntimeConfig(): Promise<UpdateRuntimeConfigResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "UpdateRuntimeConfig" });
}
