import type { StreamContainersRequest, StreamContainersResponse } from "../../gen/runtime/v1/api.js";
import { containerItem } from "../map/container-status.js";
import type { CallContext, Deps } from "../deps.js";
import { inParts } from "../in-parts.js";
import { shownContainers } from "../shown.js";

/** CRI StreamContainers: ListContainers in parts, as all of it was at one moment. */
export async function* streamContainers(
  request: StreamContainersRequest,
  _call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamContainersResponse> {
  const fitting = shownContainers(request.filter, deps);
  for (const containers of inParts(fitting.map(containerItem))) yield { containers };
}
