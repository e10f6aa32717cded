import { RuntimeError } from "../../base/errors.js";
import type { RunPodSandboxRequest, RunPodSandboxResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { checkSandboxRequest } from "../../runtime/pod/check-request.js";
import { createSandbox } from "../../runtime/pod/create.js";
import { sizeWithPages } from "../../runtime/pod/handler-size.js";
import { idMapOf } from "../../runtime/pod/user-namespace.js";
import { sandboxKey } from "../../runtime/pod/sandbox-store.js";

/**
 * CRI RunPodSandbox. Answers when the sandbox is READY. A repeat while it is under way joins it, whether or not the
 * first caller is still there; after success it is `alreadyExists` with the id, after failure it starts afresh.
 * Source: api.proto, rpc RunPodSandbox; caller: kubelet KR createPodSandbox, deadline 2 × runtimeRequestTimeout.
 */
export async function runPodSandbox(
  request: RunPodSandboxRequest,
  call: CallContext,
  deps: Deps,
): Promise<RunPodSandboxResponse> {
  const checked = checkSandboxRequest(request, deps.config, deps.boxes.driver);
  idMapOf(checked.config, deps.boxes, checked.driver); // before anything is made
  const { metadata } = checked;
  const key = sandboxKey(metadata);
  // One that is being made, or taken back, is shown when its record has been written.
  const existing = deps.sandboxCreations.has(key) ? undefined : deps.sandboxes.findByKey(metadata);
  if (existing !== undefined) {
    const pod = `${metadata.namespace}/${metadata.name}`;
    const what = `sandbox of pod ${pod} (uid ${metadata.uid}, attempt ${String(metadata.attempt)})`;
    throw new RuntimeError("alreadyExists", `${what} exists with id ${existing.id}`, {
      hint: "remove it, or ask with a higher attempt",
    });
  }
  const podSandboxId = await deps.sandboxCreations.run(key, call.signal, async () =>
    createSandbox(
      { ...checked, size: await sizeWithPages(checked, deps.config, checked.driver ?? deps.boxes.driver) },
      deps,
    ),
  );
  return { podSandboxId };
}
