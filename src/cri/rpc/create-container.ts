import { RuntimeError } from "../../base/errors.js";
import type { CreateContainerRequest, CreateContainerResponse } from "../../gen/runtime/v1/api.js";
import { checkContainerRequest } from "../../runtime/container/check-request.js";
import { containerKey } from "../../runtime/container/container-store.js";
import { createContainerIn } from "../../runtime/container/create.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI CreateContainer. A repeat while it is under way joins it, whether or not the first caller is still there; after
 * success it is `alreadyExists` with the id, after failure it starts afresh.
 * Source: api.proto, rpc CreateContainer; caller: kubelet KR startContainer.
 */
export async function createContainer(
  request: CreateContainerRequest,
  call: CallContext,
  deps: Deps,
): Promise<CreateContainerResponse> {
  const checked = await checkContainerRequest(request, deps);
  const { metadata, sandbox } = checked;
  const key = containerKey(sandbox.id, metadata);
  const existing = deps.containers.creations.has(key) ? undefined : deps.containers.findByKey(key);
  if (existing !== undefined) {
    const what = `container ${metadata.name} (attempt ${metadata.attempt}) of sandbox ${sandbox.id}`;
    throw new RuntimeError("alreadyExists", `${what} exists with id ${existing.id}`, {
      hint: "remove it, or ask with a higher attempt",
    });
  }
  const containerId = await deps.containers.creations.run(key, call.signal, () => createContainerIn(checked, deps));
  return { containerId };
}
