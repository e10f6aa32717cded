import { RuntimeError } from "../../base/errors.js";
import type { RunPodSandboxResponse } from "../../gen/runtime/v1/api.js";

/** CRI RunPodSandbox: not built. */
export function runPodSandbox(): Promise<RunPodSandboxResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "RunPodSandbox" });
}
