import type { SharedWork } from "../base/shared-work.js";
import type { PodId } from "../base/ids.js";
import type { Metrics } from "../metrics/metrics.js";
import type { ContainerStore } from "./container/container-store.js";
import type { ContainersOfPod } from "./pod/containers-of-pod.js";
import type { ServedPorts } from "./served-ports/served-ports.js";
import type { PodSkills } from "./skills/pod-skills.js";
import type { StoreParts } from "./store-parts.js";

/** What the engine works with; made once, in `cli/open-parts.ts`. */
export interface Deps extends StoreParts {
  readonly containers: ContainerStore;
  readonly podContainers: ContainersOfPod;
  /** What is counted on the way. */
  readonly metrics: Metrics;
  /** RunPodSandbox under way, by `sandboxKey`. */
  readonly sandboxCreations: SharedWork<string, PodId>;
  /** Ports of pods that services of the daemon serve; those register themselves here. */
  readonly servedPorts: ServedPorts;
  /** Skills of containers; what brings them registers itself here. */
  readonly skills: PodSkills;
  /** Aborted when the daemon has waited long enough for its calls at shutdown: creations under way undo themselves. */
  readonly closing: AbortSignal;
}
