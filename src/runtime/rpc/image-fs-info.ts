import { RuntimeError } from "../../base/errors.js";
import type { ImageFsInfoResponse } from "../../gen/runtime/v1/api.js";

/** CRI ImageFsInfo: not built. */
export function imageFsInfo(): Promise<ImageFsInfoResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ImageFsInfo" });
}
