/** A placeholder for the containers part: knows no containers. */
import type { SandboxContainers } from "../sandbox/sandbox-containers.js";
import type { StoreParts } from "../store-parts.js";

export class ContainerStore implements SandboxContainers {
  /** Loads every record. */
  static open(_parts: StoreParts): Promise<ContainerStore> {
    return Promise.resolve(new ContainerStore());
  }

  async stopAllOf(): Promise<void> {
    // No containers yet.
  }

  async removeAllOf(): Promise<void> {
    // No containers yet.
  }

  async boxExited(): Promise<void> {
    // No containers yet.
  }

  async recoverOf(): Promise<void> {
    // No containers yet.
  }

  async discardStrays(): Promise<void> {
    // No containers yet.
  }

  /** Flushes and closes log files and watches; containers run on. */
  async close(): Promise<void> {
    // No containers yet.
  }
}
