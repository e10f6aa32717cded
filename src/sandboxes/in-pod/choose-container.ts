import { RuntimeError } from "../../base/errors.js";
import type { Container } from "../../runtime/container/container.js";
import type { Pod } from "../../runtime/pod/pod.js";

/** kubectl's own word for the container that is meant where none is named. */
const defaultContainer = "kubectl.kubernetes.io/default-container";

/**
 * The container that a call is about: of this name; where none is named the one of the pod's annotation, else the oldest that
 * runs. `containers` are the pod's, oldest first. Errors: `notFound`, `unavailable` while none runs.
 */
export function chooseContainer(pod: Pick<Pod, "spec">, containers: readonly Container[], named?: string): Container {
  const running = containers.filter(({ state }) => state === "running");
  const wanted = named ?? pod.spec.annotations[defaultContainer];
  const found = wanted === undefined ? running[0] : running.findLast(({ spec }) => spec.name === wanted);
  if (found !== undefined) return found;
  if (named !== undefined && !containers.some(({ spec }) => spec.name === named)) {
    throw new RuntimeError("notFound", `the pod has no container ${JSON.stringify(named.slice(0, 63))}`);
  }
  throw new RuntimeError("unavailable", "the container does not run", { hint: "try again when the pod is ready" });
}
