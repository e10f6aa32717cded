import { RuntimeError } from "../../base/errors.js";
import type { StreamContainersResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamContainers: not built. */
export function streamContainers(): AsyncIterable<StreamContainersResponse> {
  throw new RuntimeError("unimplemented", "streamed lists are not built yet; use ListContainers", {
    stage: "StreamContainers",
  });
}
