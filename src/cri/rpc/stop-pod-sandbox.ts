import type { StopPodSandboxRequest, StopPodSandboxResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { stopSandbox } from "../../runtime/pod/end.js";

/**
 * CRI StopPodSandbox. Idempotent: an unknown sandbox is success (api.proto), a stopped one is gone over again.
 * Answers when no process of the sandbox is left. Source: api.proto, rpc StopPodSandbox.
 */
export async function stopPodSandbox(
  request: StopPodSandboxRequest,
  call: CallContext,
  deps: Deps,
): Promise<StopPodSandboxResponse> {
  const sandbox = deps.sandboxes.find(request.podSandboxId);
  if (sandbox === undefined) return {};
  await deps.sandboxes.locks.run(sandbox.id, call.signal, async () => {
    if (deps.sandboxes.has(sandbox.id)) await stopSandbox(sandbox, deps, call.signal);
  });
  return {};
}
