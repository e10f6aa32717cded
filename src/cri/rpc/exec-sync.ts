import { RuntimeError } from "../../base/errors.js";
import type { ExecSyncRequest, ExecSyncResponse } from "../../gen/runtime/v1/api.js";
import { execAndWait } from "../../runtime/exec/exec.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI ExecSync. An exit code other than 0 is an answer, not an error; the end of the timeout is `deadlineExceeded`.
 * Source: api.proto, rpc ExecSync; callers: kubelet's exec probes and lifecycle hooks.
 */
export async function execSync(request: ExecSyncRequest, call: CallContext, deps: Deps): Promise<ExecSyncResponse> {
  if (request.cmd.length === 0 || request.cmd[0] === "") {
    throw new RuntimeError("invalidArgument", "cmd is empty", { hint: "name a program" });
  }
  if (request.timeout < 0n) throw new RuntimeError("invalidArgument", "timeout is negative");
  const container = deps.containers.require(request.containerId);
  return await execAndWait(container, request.cmd, timeoutMsOf(request.timeout), deps, call.signal);
}

/** Whole seconds on the wire, 0 for none; at most what a timer can wait (24 days). */
function timeoutMsOf(timeoutSeconds: bigint): number {
  return timeoutSeconds > 2_000_000n ? 2_000_000_000 : Number(timeoutSeconds) * 1000;
}
