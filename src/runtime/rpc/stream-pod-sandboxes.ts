import { RuntimeError } from "../../base/errors.js";
import type { StreamPodSandboxesResponse } from "../../gen/runtime/v1/api.js";

/** CRI StreamPodSandboxes: not built. */
export function streamPodSandboxes(): AsyncIterable<StreamPodSandboxesResponse> {
  throw new RuntimeError("unimplemented", "streamed lists are not built yet; use ListPodSandbox", {
    stage: "StreamPodSandboxes",
  });
}
