import { RuntimeError } from "../../base/errors.js";
import type { ContainerId } from "../../base/ids.js";
import type { Deps } from "../deps.js";
import { checkContainerSpec } from "./check-spec.js";
import { containerKey } from "./container-store.js";
import type { ContainerSpec } from "./container-spec.js";
import { createContainerIn } from "./create.js";

/**
 * Makes a container in a READY pod, up to CREATED; `pod`: id of its sandbox. A repeat while that is under way joins it,
 * whether or not the first caller is still there; after success it is `alreadyExists` with the id, after failure it starts
 * afresh.
 */
export async function createInPod(
  pod: string,
  spec: ContainerSpec,
  deps: Deps,
  signal: AbortSignal,
): Promise<ContainerId> {
  const owner = deps.sandboxes.find(pod);
  const whole = owner?.state === "ready" ? await deps.skills.extend(owner, spec, signal) : spec;
  const checked = await checkContainerSpec(pod, whole, deps);
  const { sandbox } = checked;
  const key = containerKey(sandbox.id, spec);
  const existing = deps.containers.creations.has(key) ? undefined : deps.containers.findByKey(key);
  if (existing !== undefined) {
    const what = `container ${spec.name} (attempt ${spec.attempt}) of sandbox ${sandbox.id}`;
    throw new RuntimeError("alreadyExists", `${what} exists with id ${existing.id}`, {
      hint: "remove it, or ask with a higher attempt",
    });
  }
  return await deps.containers.creations.run(key, signal, () => createContainerIn(checked, deps));
}
