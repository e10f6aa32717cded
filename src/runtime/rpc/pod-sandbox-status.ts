import { RuntimeError } from "../../base/errors.js";
import type { PodSandboxStatusResponse } from "../../gen/runtime/v1/api.js";

/** CRI PodSandboxStatus: not built. */
export function podSandboxStatus(): Promise<PodSandboxStatusResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "PodSandboxStatus" });
}
