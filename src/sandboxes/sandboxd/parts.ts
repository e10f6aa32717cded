import type { Logger } from "../../base/log.js";
import type { Sandboxes } from "../core/sandboxes.js";

/** What the protocols of this directory are made of. */
export interface SandboxdParts {
  readonly sandboxes: Sandboxes;
  readonly log: Logger;
  /** Aborts when the daemon begins to stop: health then says so. */
  readonly stopping: AbortSignal;
  /** How long a client of gRPC may send nothing of what is waited for; absent: `senderIdleMs`. For tests. */
  readonly senderIdleMs?: number;
}
