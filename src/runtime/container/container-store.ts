/** A placeholder for the containers part: knows no containers. */
import type { BoxExit } from "../../vmm/box.js";
import type { Sandbox } from "../sandbox/sandbox.js";
import type { SandboxContainers } from "../sandbox/sandbox-containers.js";
import type { StoreParts } from "../store-parts.js";

export class ContainerStore implements SandboxContainers {
  /** Loads every record. */
  static open(_parts: StoreParts): Promise<ContainerStore> {
    return Promise.resolve(new ContainerStore());
  }

  async stopAllOf(_sandbox: Sandbox, _signal: AbortSignal): Promise<void> {
    // No containers yet.
  }

  async removeAllOf(_sandbox: Sandbox, _signal: AbortSignal): Promise<void> {
    // No containers yet.
  }

  async boxExited(_sandbox: Sandbox, _exit: BoxExit): Promise<void> {
    // No containers yet.
  }

  async recoverOf(_sandbox: Sandbox, _signal: AbortSignal): Promise<void> {
    // No containers yet.
  }

  async discardStrays(_signal: AbortSignal): Promise<void> {
    // No containers yet.
  }

  /** Flushes and closes log files and watches; containers run on. */
  async close(): Promise<void> {
    // No containers yet.
  }
}
