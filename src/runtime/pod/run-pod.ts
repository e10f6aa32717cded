import { RuntimeError } from "../../base/errors.js";
import type { PodId } from "../../base/ids.js";
import type { Deps } from "../deps.js";
import { checkPodSpec } from "./check-spec.js";
import { createSandbox } from "./create.js";
import { handlerSize } from "./handler-size.js";
import type { PodSpec } from "./pod-spec.js";
import { takeReady } from "./take-ready.js";
import { sandboxKey } from "./pod-store.js";
import { wantedSkills } from "../skills/annotation.js";

/**
 * Makes a pod, up to READY. A repeat while that is under way joins it, whether or not the first caller is still there; after
 * success it is `alreadyExists` with the id, after failure it starts afresh.
 */
export async function runPod(spec: PodSpec, deps: Deps, signal: AbortSignal): Promise<PodId> {
  const checked = checkPodSpec(spec, deps.config, deps.boxes);
  const size = await handlerSize(checked, deps.config, deps.boxes.driver);
  const served = deps.servedPorts.planFor(checked, deps.config.handlers[spec.handler]);
  wantedSkills(spec, deps.config.handlers[spec.handler]); // before anything is made
  const key = sandboxKey(spec);
  // One that is being made, or taken back, is shown when its record has been written.
  const existing = deps.sandboxCreations.has(key) ? undefined : deps.sandboxes.findByKey(key);
  if (existing !== undefined) {
    const pod = `${spec.namespace}/${spec.name}`;
    const what = `sandbox of pod ${pod} (uid ${spec.uid}, attempt ${String(spec.attempt)})`;
    throw new RuntimeError("alreadyExists", `${what} exists with id ${existing.id}`, {
      hint: "remove it, or ask with a higher attempt",
    });
  }
  return await deps.sandboxCreations.run(key, signal, async () => {
    const request = { ...checked, served, size };
    return await createSandbox(request, deps, await takeReady(request, deps));
  });
}
