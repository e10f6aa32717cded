import type { Session } from "../../gen/agent/v1/agent.js";
import type { BoxExit } from "../../vmm/box.js";
import type { ContainersOfPod } from "../pod/containers-of-pod.js";
import type { Pod } from "../pod/pod.js";
import type { ContainerStore } from "./container-store.js";
import { boxExited, removeAllOf, stopAllOf } from "./of-sandbox.js";
import { discardStrays, recoverEndOf, takeUpOf } from "./recover.js";

/** What becomes of containers with their pod: at its end, and after a daemon's restart. */
export class PodContainers implements ContainersOfPod {
  readonly #store: ContainerStore;

  constructor(store: ContainerStore) {
    this.#store = store;
  }

  async stopAllOf(sandbox: Pod, signal: AbortSignal): Promise<void> {
    await stopAllOf(sandbox, this.#store, signal);
  }

  async removeAllOf(sandbox: Pod, signal: AbortSignal): Promise<void> {
    await removeAllOf(sandbox, this.#store, signal);
  }

  async boxExited(sandbox: Pod, exit: BoxExit): Promise<void> {
    await boxExited(sandbox, exit, this.#store);
  }

  async recoverEndOf(sandbox: Pod): Promise<void> {
    await recoverEndOf(sandbox, this.#store);
  }

  async takeUpOf(sandbox: Pod, sessions: readonly Session[], signal: AbortSignal): Promise<void> {
    await takeUpOf(sandbox, sessions, this.#store, signal);
  }

  async discardStrays(signal: AbortSignal): Promise<void> {
    await discardStrays(this.#store, signal);
  }
}
