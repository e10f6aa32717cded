import { RuntimeError } from "../../base/errors.js";
import type { ContainerEventResponse } from "../../gen/runtime/v1/api.js";

/** CRI GetContainerEvents: not built. */
export function getContainerEvents(): AsyncIterable<ContainerEventResponse> {
  throw new RuntimeError("unimplemented", "container events are not built yet; kubelet falls back to listing", {
    stage: "GetContainerEvents",
  });
}
