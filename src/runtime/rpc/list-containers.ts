import { RuntimeError } from "../../base/errors.js";
import type { ListContainersResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListContainers: not built. */
export function listContainers(): Promise<ListContainersResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ListContainers" });
}
