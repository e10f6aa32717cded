import type { Session } from "../../gen/agent/v1/agent.js";
import type { BoxExit } from "../../vmm/box.js";
import type { Pod } from "./pod.js";

/** What the sandbox's life needs of its containers; `runtime/container/pod-containers.ts` does it. */
export interface ContainersOfPod {
  /**
   * Kills every process of the sandbox's containers, waits until they are gone and their exits are recorded.
   * Idempotent. The sandbox's record says NOTREADY already: nothing new starts in it. Its Box may be gone.
   */
  stopAllOf(sandbox: Pod, signal: AbortSignal): Promise<void>;
  /** After `stopAllOf` and the Box's end: waits for creations under way, forgets all, removes snapshots and records. */
  removeAllOf(sandbox: Pod, signal: AbortSignal): Promise<void>;
  /** The Box has died: what has not exited becomes EXITED (137) at that time with that reason. Idempotent. */
  boxExited(sandbox: Pod, exit: BoxExit): Promise<void>;
  /** After a daemon restart, for a sandbox whose Box is gone; `sandbox.record.end` says when and why. */
  recoverEndOf(sandbox: Pod): Promise<void>;
  /**
   * After a daemon restart, for a sandbox whose Box has been found again (`sandbox.box`), with what its agent says:
   * takes up its containers' watches and logs, discards half-made ones. Containers without a record are removed from the
   * agent. After a failure it may be called again.
   */
  takeUpOf(sandbox: Pod, sessions: readonly Session[], signal: AbortSignal): Promise<void>;
  /** After a daemon restart, once: records and snapshots that belong to no sandbox go. */
  discardStrays(signal: AbortSignal): Promise<void>;
}
