import type { SharedWork } from "../base/shared-work.js";
import type { SandboxId } from "../base/ids.js";
import type { Metrics } from "../metrics/metrics.js";
import type { ContainerStore } from "./container/container-store.js";
import type { SandboxContainers } from "./pod/sandbox-containers.js";
import type { ServedPorts } from "./served-ports/served-ports.js";
import type { StoreParts } from "./store-parts.js";

/** What the engine works with; made once, in `cli/serve.ts`. */
export interface Deps extends StoreParts {
  readonly containers: ContainerStore;
  readonly podContainers: SandboxContainers;
  /** What is counted on the way. */
  readonly metrics: Metrics;
  /** RunPodSandbox under way, by `sandboxKey`. */
  readonly sandboxCreations: SharedWork<string, SandboxId>;
  /** Ports of pods that services of the daemon serve; those register themselves here. */
  readonly servedPorts: ServedPorts;
  /** Aborted when the daemon has waited long enough for its calls at shutdown: creations under way undo themselves. */
  readonly closing: AbortSignal;
}
