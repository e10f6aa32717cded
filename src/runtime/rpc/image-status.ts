import { RuntimeError } from "../../base/errors.js";
import type { ImageStatusResponse } from "../../gen/runtime/v1/api.js";

/** CRI ImageStatus: not built. */
export function imageStatus(): Promise<ImageStatusResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ImageStatus" });
}
