import { RuntimeError } from "../../base/errors.js";
import type { UpdateContainerResourcesResponse } from "../../gen/runtime/v1/api.js";

/** CRI UpdateContainerResources: not built. */
export function updateContainerResources(): Promise<UpdateContainerResourcesResponse> {
  throw new RuntimeError("unimplemented", "changing the resources of a container is not built yet", {
    stage: "UpdateContainerResources",
  });
}
