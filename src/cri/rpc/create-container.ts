import { RuntimeError } from "../../base/errors.js";
import type { CreateContainerRequest, CreateContainerResponse } from "../../gen/runtime/v1/api.js";
import { createInPod } from "../../runtime/container/create-in-pod.js";
import type { CallContext, Deps } from "../deps.js";
import { containerSpecOf } from "../map/container-spec.js";

/**
 * CRI CreateContainer. A repeat joins one that is under way, and gets `alreadyExists` with the id after it.
 * Source: api.proto, rpc CreateContainer; caller: kubelet KR startContainer.
 */
export async function createContainer(
  request: CreateContainerRequest,
  call: CallContext,
  deps: Deps,
): Promise<CreateContainerResponse> {
  const { config, podSandboxId } = request;
  if (config === undefined) throw new RuntimeError("invalidArgument", "config is not set");
  if (config.metadata === undefined || config.metadata.name === "") {
    throw new RuntimeError("invalidArgument", "config.metadata.name is empty", { hint: "give the container a name" });
  }
  if (podSandboxId === "") throw new RuntimeError("invalidArgument", "pod_sandbox_id is empty");
  return { containerId: await createInPod(podSandboxId, containerSpecOf(config), deps, call.signal) };
}
