import type { JoinedJobs } from "../base/joined-job.js";
import type { SandboxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import type { Metrics } from "../metrics/metrics.js";
import type { StreamingServer } from "../streaming/server.js";
import type { ContainerStore } from "./container/container-store.js";
import type { StoreParts } from "./store-parts.js";

/** One call of one RPC. */
export interface CallContext {
  /** Aborted when the caller has gone or the RPC's own limit has passed. */
  readonly signal: AbortSignal;
  /** The RPC's name as in the proto: "StopContainer". */
  readonly rpc: string;
  /** Bound to the RPC; bind ids with `child`. */
  readonly log: Logger;
}

/** What every RPC works with; made once, in `main.ts`. */
export interface Deps extends StoreParts {
  readonly containers: ContainerStore;
  /** Where clients of Exec, Attach and PortForward come to. */
  readonly streaming: StreamingServer;
  /** What is counted on the way. */
  readonly metrics: Metrics;
  /** RunPodSandbox under way, by `sandboxKey`. */
  readonly sandboxCreations: JoinedJobs<string, SandboxId>;
  /** Aborted when the daemon has waited long enough for its calls at shutdown: creations under way undo themselves. */
  readonly closing: AbortSignal;
}
