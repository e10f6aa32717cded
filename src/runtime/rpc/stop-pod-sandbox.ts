import { RuntimeError } from "../../base/errors.js";
import type { StopPodSandboxResponse } from "../../gen/runtime/v1/api.js";

/** CRI StopPodSandbox: not built. */
export function stopPodSandbox(): Promise<StopPodSandboxResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "StopPodSandbox" });
}
