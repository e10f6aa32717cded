import { RuntimeError } from "../../base/errors.js";
import type { RuntimeConfigResponse } from "../../gen/runtime/v1/api.js";

/** CRI RuntimeConfig: not built. */
export function runtimeConfig(): Promise<RuntimeConfigResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "RuntimeConfig" });
}
