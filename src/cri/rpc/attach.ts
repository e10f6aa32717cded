import type { AttachRequest, AttachResponse } from "../../gen/runtime/v1/api.js";
import { requireRunning } from "../../runtime/exec/exec-process.js";
import type { CallContext, Deps } from "../deps.js";
import { attachSession } from "../../runtime/exec/attach-session.js";
import { checkCommand } from "../streaming/check-command.js";

/**
 * CRI Attach: the URL at which a client can have the container's streams, once. How the container ends is not told to
 * it. Source: api.proto, rpc Attach; k8s.io/kubelet pkg/cri/streaming/remotecommand.
 */
export function attach(request: AttachRequest, _call: CallContext, deps: Deps): Promise<AttachResponse> {
  checkCommand(request.containerId, request);
  const container = deps.containers.require(request.containerId);
  requireRunning(container);
  const { stdin, stdout, stderr, tty } = request;
  const url = deps.streaming.offer({
    kind: "attach",
    ...{ stdin, stdout, stderr, tty },
    run: async (streams, signal) => {
      await attachSession(container, streams, deps, signal);
      return undefined;
    },
  });
  return Promise.resolve({ url });
}
