import type { Session } from "../../gen/agent/v1/agent.js";
import type { BoxExit } from "../../vmm/box.js";
import type { SandboxContainers } from "../pod/sandbox-containers.js";
import type { Sandbox } from "../pod/sandbox.js";
import type { ContainerStore } from "./container-store.js";
import { boxExited, removeAllOf, stopAllOf } from "./of-sandbox.js";
import { discardStrays, recoverEndOf, takeUpOf } from "./recover.js";

/** What becomes of containers with their pod: at its end, and after a daemon's restart. */
export class PodContainers implements SandboxContainers {
  readonly #store: ContainerStore;

  constructor(store: ContainerStore) {
    this.#store = store;
  }

  async stopAllOf(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
    await stopAllOf(sandbox, this.#store, signal);
  }

  async removeAllOf(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
    await removeAllOf(sandbox, this.#store, signal);
  }

  async boxExited(sandbox: Sandbox, exit: BoxExit): Promise<void> {
    await boxExited(sandbox, exit, this.#store);
  }

  async recoverEndOf(sandbox: Sandbox): Promise<void> {
    await recoverEndOf(sandbox, this.#store);
  }

  async takeUpOf(sandbox: Sandbox, sessions: readonly Session[], signal: AbortSignal): Promise<void> {
    await takeUpOf(sandbox, sessions, this.#store, signal);
  }

  async discardStrays(signal: AbortSignal): Promise<void> {
    await discardStrays(this.#store, signal);
  }
}
