import type { RemovePodSandboxRequest, RemovePodSandboxResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { removeSandbox } from "../../runtime/pod/end.js";

/**
 * CRI RemovePodSandbox. Stops what still runs, removes its containers, forgets it. An unknown one is success.
 * Source: api.proto, rpc RemovePodSandbox; caller: kubelet KR removeSandbox (garbage collection).
 */
export async function removePodSandbox(
  request: RemovePodSandboxRequest,
  call: CallContext,
  deps: Deps,
): Promise<RemovePodSandboxResponse> {
  const sandbox = deps.sandboxes.find(request.podSandboxId);
  if (sandbox === undefined) return {};
  await deps.sandboxes.locks.run(sandbox.id, call.signal, async () => {
    if (deps.sandboxes.has(sandbox.id)) await removeSandbox(sandbox, deps, call.signal);
  });
  return {};
}
