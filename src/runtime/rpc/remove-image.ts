import { RuntimeError } from "../../base/errors.js";
import type { RemoveImageResponse } from "../../gen/runtime/v1/api.js";

/** CRI RemoveImage: not built. */
export function removeImage(): Promise<RemoveImageResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "RemoveImage" });
}
