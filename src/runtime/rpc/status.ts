import { RuntimeError } from "../../base/errors.js";
import type { StatusResponse } from "../../gen/runtime/v1/api.js";

/** CRI Status: not built. */
export function status(): Promise<StatusResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "Status" });
}
