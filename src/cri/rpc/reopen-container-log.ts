import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { ReopenContainerLogRequest, ReopenContainerLogResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI ReopenContainerLog, after kubelet has renamed the file. The new file exists when it answers, and nothing more goes
 * to the old one. A container that does not run gets an error and no file.
 */
export async function reopenContainerLog(
  request: ReopenContainerLogRequest,
  call: CallContext,
  deps: Deps,
): Promise<ReopenContainerLogResponse> {
  const container = deps.containers.require(request.containerId);
  if (container.state !== "running") {
    throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} is ${container.state}`, {
      hint: "only a running container's log can be reopened",
    });
  }
  await deps.sandboxes.require(container.sandboxId).whenSettled(call.signal);
  const file = container.follower?.file;
  if (file === undefined) {
    throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} writes no log`);
  }
  await file.reopen();
  return {};
}
