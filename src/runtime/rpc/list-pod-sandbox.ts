import { RuntimeError } from "../../base/errors.js";
import type { ListPodSandboxResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListPodSandbox: not built. */
export function listPodSandbox(): Promise<ListPodSandboxResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ListPodSandbox" });
}
