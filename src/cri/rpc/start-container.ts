import { orAborted } from "../../base/or-aborted.js";
import type { StartContainerRequest, StartContainerResponse } from "../../gen/runtime/v1/api.js";
import { startContainerIn } from "../../runtime/container/start.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI StartContainer. Answers when the program runs; goes on when the caller leaves.
 * Source: api.proto, rpc StartContainer; caller: kubelet KR startContainer.
 */
export async function startContainer(
  request: StartContainerRequest,
  call: CallContext,
  deps: Deps,
): Promise<StartContainerResponse> {
  const container = deps.containers.require(request.containerId);
  const started = startContainerIn(container, deps);
  started.catch(() => undefined); // the caller sees it; it may be gone
  await orAborted(started, call.signal);
  return {};
}
