import { RuntimeError } from "../../base/errors.js";
import type { ReopenContainerLogResponse } from "../../gen/runtime/v1/api.js";

/** CRI ReopenContainerLog: not built. */
export function reopenContainerLog(): Promise<ReopenContainerLogResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ReopenContainerLog" });
}
