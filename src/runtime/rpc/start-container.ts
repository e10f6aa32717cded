import { RuntimeError } from "../../base/errors.js";
import type { StartContainerResponse } from "../../gen/runtime/v1/api.js";

/** CRI StartContainer: not built. */
export function startContainer(): Promise<StartContainerResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "StartContainer" });
}
