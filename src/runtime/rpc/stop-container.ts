import { RuntimeError } from "../../base/errors.js";
import type { StopContainerResponse } from "../../gen/runtime/v1/api.js";

/** CRI StopContainer: not built. */
export function stopContainer(): Promise<StopContainerResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "StopContainer" });
}
