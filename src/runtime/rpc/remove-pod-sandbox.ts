import { RuntimeError } from "../../base/errors.js";
import type { RemovePodSandboxResponse } from "../../gen/runtime/v1/api.js";

/** CRI RemovePodSandbox: not built. */
export function removePodSandbox(): Promise<RemovePodSandboxResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "RemovePodSandbox" });
}
