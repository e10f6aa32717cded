import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { stage } from "../../base/stage.js";
import type { Deps } from "../deps.js";
import { mergeResources } from "../spec/resources.js";
import { explained } from "../volumes/huge-pages.js";
import type { Container } from "./container.js";
import { placeIn } from "./cpu-sets.js";
import { stepLimitMs } from "./limits.js";
import type { ResourceSpec } from "./resource-spec.js";

/**
 * Changes a container's limits. What is zero or empty stays as it is; on an error nothing has changed. The OOM score counts
 * for the Box (docs/adr/0079); the container's process keeps the one that it was started with, and so does all of a pod of
 * the host.
 */
export async function updateResources(
  container: Container,
  wish: ResourceSpec,
  deps: Deps,
  signal: AbortSignal,
): Promise<void> {
  const sandbox = deps.sandboxes.require(container.sandboxId);
  await sandbox.whenSettled(signal); // what takes the container up needs its lock
  await deps.containers.locks.run(container.id, signal, async () => {
    if (container.state === "exited") {
      throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} has exited`);
    }
    const box = await sandbox.liveBox(signal);
    const guest = deps.containers.hugePages.factsOf(box, signal);
    const limits = await sandbox.boundary.resources(wish, guest);
    const update = { sessionId: container.id, ociResources: Buffer.from(JSON.stringify(limits)) };
    const counts = sandbox.boundary.sharesOomScore ? wish : { ...wish, oomScoreAdj: 0n };
    const merged = mergeResources(container.resources, counts);
    await deps.containers.cpuSets.during(box, container.id, placeIn(merged), signal, async () => {
      await stage("update session", stepLimitMs, signal, (limit) => explained(box.agent.updateSession(update, limit)));
      await deps.containers.update(container, { resources: merged });
    });
  });
}
