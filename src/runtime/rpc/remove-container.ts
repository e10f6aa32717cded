import { RuntimeError } from "../../base/errors.js";
import type { RemoveContainerResponse } from "../../gen/runtime/v1/api.js";

/** CRI RemoveContainer: not built. */
export function removeContainer(): Promise<RemoveContainerResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "RemoveContainer" });
}
