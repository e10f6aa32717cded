import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { stage } from "../../base/stage.js";
import type { Deps } from "../deps.js";
import { mergeResources, oomScoreAdj } from "../spec/resources.js";
import { explained, hugePageFacts } from "../volumes/huge-pages.js";
import type { Container } from "./container.js";
import { placeIn } from "./cpu-sets.js";
import { stepLimitMs } from "./limits.js";
import type { ResourceSpec } from "./resource-spec.js";

/**
 * Changes a container's limits. What is zero or empty stays as it is; on an error nothing has changed. An OOM score is given
 * to the container's processes in their guest, to its execs from then on, and counts for the Box (docs/adr/0079); a container
 * of the host keeps the one that it was started with, as with runc, which changes none of a running one.
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
    const guest = hugePageFacts(box, signal);
    const limits = await sandbox.boundary.resources(wish, guest);
    const counts = sandbox.boundary.sharesOomScore ? wish : { ...wish, oomScoreAdj: 0n };
    const update = {
      sessionId: container.id,
      ociResources: Buffer.from(JSON.stringify(limits)),
      oomScoreAdj: counts.oomScoreAdj === 0n ? undefined : oomScoreAdj(counts),
    };
    const merged = mergeResources(container.resources, counts);
    await deps.containers.together.cpuSets.during(box, container.id, placeIn(merged), signal, async () => {
      await stage("update session", stepLimitMs, signal, (limit) => explained(box.agent.updateSession(update, limit)));
      await deps.containers.update(container, { resources: merged });
    });
  });
}
