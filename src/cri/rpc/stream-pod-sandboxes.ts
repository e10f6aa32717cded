import type { StreamPodSandboxesRequest, StreamPodSandboxesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { inParts } from "../in-parts.js";
import { podSandboxItem } from "../map/pod-status.js";
import { shownPods } from "../shown.js";

/** CRI StreamPodSandboxes: ListPodSandbox in parts, as all of it was at one moment. */
export async function* streamPodSandboxes(
  request: StreamPodSandboxesRequest,
  _call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamPodSandboxesResponse> {
  const fitting = shownPods(request.filter, deps);
  for (const podSandboxes of inParts(fitting.map(podSandboxItem))) yield { podSandboxes };
}
