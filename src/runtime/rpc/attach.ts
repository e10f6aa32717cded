import { RuntimeError } from "../../base/errors.js";
import type { AttachResponse } from "../../gen/runtime/v1/api.js";

/** CRI Attach: not built. */
export function attach(): Promise<AttachResponse> {
  throw new RuntimeError("unimplemented", "streaming is not built yet", { stage: "Attach" });
}
