import { RuntimeError } from "../../base/errors.js";
import type { CreateContainerResponse } from "../../gen/runtime/v1/api.js";

/** CRI CreateContainer: not built. */
export function createContainer(): Promise<CreateContainerResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "CreateContainer" });
}
