import type { ListPodSandboxRequest, ListPodSandboxResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { fitsFilter, podSandboxItem } from "../map/pod-status.js";

/** CRI ListPodSandbox, by any combination of id, state and labels; no filter is all. Never waits. */
export async function listPodSandbox(
  request: ListPodSandboxRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ListPodSandboxResponse> {
  const fitting = deps.sandboxes.list().filter((sandbox) => fitsFilter(sandbox, request.filter));
  return { items: fitting.map(podSandboxItem) };
}
