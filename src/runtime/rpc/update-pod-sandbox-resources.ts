import { RuntimeError } from "../../base/errors.js";
import type { UpdatePodSandboxResourcesResponse } from "../../gen/runtime/v1/api.js";

/** CRI UpdatePodSandboxResources: not built. */
export function updatePodSandboxResources(): Promise<UpdatePodSandboxResourcesResponse> {
  throw new RuntimeError("unimplemented", "a running microVM cannot be resized yet", {
    stage: "UpdatePodSandboxResources",
  });
}
