import type { ListPodSandboxRequest, ListPodSandboxResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { podSandboxItem } from "../map/pod-status.js";
import { shownPods } from "../shown.js";

/** CRI ListPodSandbox, by any combination of id, state and labels; no filter is all of CRI's own. Never waits. */
export async function listPodSandbox(
  request: ListPodSandboxRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ListPodSandboxResponse> {
  return { items: shownPods(request.filter, deps).map(podSandboxItem) };
}
