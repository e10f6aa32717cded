import { RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { UpdateContainerResourcesRequest, UpdateContainerResourcesResponse } from "../../gen/runtime/v1/api.js";
import { shortId } from "../../base/ids.js";
import { placeIn } from "../../runtime/container/cpu-sets.js";
import { explained } from "../../runtime/volumes/huge-pages.js";
import { stepLimitMs } from "../../runtime/container/limits.js";
import { encodeResources } from "../../runtime/container/container-record.js";
import { boundaryOf } from "../../runtime/boundary/boundary-of.js";
import { mergeResources } from "../../runtime/spec/resources.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI UpdateContainerResources. What is zero or empty stays as it is; on an error nothing has changed. The OOM score
 * counts for the Box (docs/adr/0079); the container's process keeps the one that it was started with, and so does all of a
 * pod of the host.
 * Source: api.proto, rpc UpdateContainerResources; caller: kubelet's in-place resize and CPU manager.
 */
export async function updateContainerResources(
  request: UpdateContainerResourcesRequest,
  call: CallContext,
  deps: Deps,
): Promise<UpdateContainerResourcesResponse> {
  const container = deps.containers.require(request.containerId);
  const wish = request.linux;
  if (wish === undefined) throw new RuntimeError("invalidArgument", "linux is not set");
  const sandbox = deps.sandboxes.require(container.sandboxId);
  await sandbox.whenSettled(call.signal); // what takes the container up needs its lock
  await deps.containers.locks.run(container.id, call.signal, async () => {
    if (container.state === "exited") {
      throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} has exited`);
    }
    const box = await sandbox.liveBox(call.signal);
    const guest = deps.containers.hugePages.factsOf(box, call.signal);
    const limits = await boundaryOf(sandbox.record.box?.driver).resources(wish, guest);
    const update = { sessionId: container.id, ociResources: Buffer.from(JSON.stringify(limits)) };
    const counts = box.handle.driver === "native" ? { ...wish, oomScoreAdj: 0n } : wish;
    const merged = mergeResources(container.resources, counts);
    await deps.containers.cpuSets.during(box, container.id, placeIn(merged), call.signal, async () => {
      await stage("update session", stepLimitMs, call.signal, (limit) =>
        explained(box.agent.updateSession(update, limit)),
      );
      await deps.containers.update(container, { resources: encodeResources(merged) });
    });
  });
  return {};
}
