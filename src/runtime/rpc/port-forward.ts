import { RuntimeError } from "../../base/errors.js";
import type { PortForwardResponse } from "../../gen/runtime/v1/api.js";

/** CRI PortForward: not built. */
export function portForward(): Promise<PortForwardResponse> {
  throw new RuntimeError("unimplemented", "streaming is not built yet", { stage: "PortForward" });
}
