import { RuntimeError } from "../../base/errors.js";
import type { StreamImagesResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamImages: not built. */
export function streamImages(): AsyncIterable<StreamImagesResponse> {
  throw new RuntimeError("unimplemented", "streamed lists are not built yet; use ListImages", {
    stage: "StreamImages",
  });
}
