import { RuntimeError } from "../../base/errors.js";
import type { ExecRequest, ExecResponse } from "../../gen/runtime/v1/api.js";
import { requireRunning } from "../../runtime/exec/exec-process.js";
import type { CallContext, Deps } from "../deps.js";
import { checkCommand } from "../streaming/check-command.js";
import { execSession } from "../../runtime/exec/exec-session.js";

/**
 * CRI Exec: checks the request and answers the URL at which a client can have it, once. The command starts when the
 * client is there. Source: api.proto, rpc Exec; k8s.io/kubelet pkg/cri/streaming/remotecommand.
 */
export function exec(request: ExecRequest, _call: CallContext, deps: Deps): Promise<ExecResponse> {
  checkCommand(request.containerId, request);
  if (request.cmd.length === 0 || request.cmd[0] === "") {
    throw new RuntimeError("invalidArgument", "cmd is empty", { hint: "name a program" });
  }
  const container = deps.containers.require(request.containerId);
  requireRunning(container);
  const { cmd, stdin, stdout, stderr, tty } = request;
  const url = deps.streaming.offer({
    kind: "exec",
    ...{ stdin, stdout, stderr, tty },
    run: (streams, signal) => execSession(container, { args: cmd, terminal: tty }, streams, deps, signal),
  });
  return Promise.resolve({ url });
}
