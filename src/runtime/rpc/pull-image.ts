import { RuntimeError } from "../../base/errors.js";
import type { PullImageResponse } from "../../gen/runtime/v1/api.js";

/** CRI PullImage: not built. */
export function pullImage(): Promise<PullImageResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "PullImage" });
}
