import { RuntimeError } from "../../base/errors.js";
import type { RestorePodResponse } from "../../gen/runtime/v1/api.js";

/** CRI RestorePod: not built. */
export function restorePod(): Promise<RestorePodResponse> {
  throw new RuntimeError("unimplemented", "pods cannot be checkpointed, nor restored", { stage: "RestorePod" });
}
