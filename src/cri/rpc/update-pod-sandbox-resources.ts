import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { boundaryOf } from "../../runtime/boundary/boundary-of.js";
import { boxSize, checkResources, wantedSize } from "../../runtime/pod/box-size.js";

/**
 * CRI UpdatePodSandboxResources. A running microVM can't grow: what fits into the one that the pod was given is granted
 * (kubelet sets the pod's own control group, in which the Box lives), what doesn't is refused, and kubelet then rejects
 * the resize. Source: api.proto, rpc UpdatePodSandboxResources; caller: kubelet's in-place resize (kubelet.md 2.14).
 */
export async function updatePodSandboxResources(
  request: UpdatePodSandboxResourcesRequest,
  call: CallContext,
  deps: Deps,
): Promise<UpdatePodSandboxResourcesResponse> {
  const sandbox = deps.sandboxes.require(request.podSandboxId);
  const { resources, overhead } = request;
  checkResources("resources", resources);
  checkResources("overhead", overhead);
  await sandbox.liveBox(call.signal);
  const driver = sandbox.record.box?.driver ?? deps.boxes.driver;
  if (!boundaryOf(driver).hasSize) return {};
  const has = sandbox.record.size ?? boxSize(sandbox.config.linux, deps.config.sandbox, driver);
  const wants = wantedSize(resources, overhead, driver);
  // Of what was over the host's a Box has as much as there is: the same again is no growth.
  const began = wantedSize(sandbox.config.linux?.resources, sandbox.config.linux?.overhead, driver);
  const refuse = (what: string): never => {
    throw new RuntimeError("failedPrecondition", `sandbox ${shortId(sandbox.id)} can't grow to ${what}`, {
      hint: "a running microVM keeps its size: recreate the pod, or give it its largest size from the start",
    });
  };
  if (wants.memoryMib > larger(has.memoryMib, began.memoryMib))
    refuse(`${wants.memoryMib} MiB: its Box has ${has.memoryMib}`);
  if (wants.vcpus > larger(has.vcpus, began.vcpus)) refuse(`${wants.vcpus} CPUs: its Box has ${has.vcpus}`);
  call.log.info({ sandboxId: sandbox.id, memoryMib: String(wants.memoryMib) }, "pod resources fit its box");
  return {};
}

function larger(size: number, asked: bigint): bigint {
  return BigInt(size) > asked ? BigInt(size) : asked;
}
