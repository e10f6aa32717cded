import { RuntimeError } from "../../base/errors.js";
import { SharedWork } from "../../base/shared-work.js";
import type { Caller } from "../core/caller.js";
import type { SandboxView, SandboxWanted } from "../core/sandbox.js";
import type { Sandboxes } from "../core/sandboxes.js";
import type { DebugSandbox } from "./options.js";

const mark = { "e2b.debug": "true" };

/** The sandbox of each tenant that clients in debug mode mean; it is made when it is first used, and again when it has ended. */
export class DebugSandboxes {
  readonly #sandboxes: Sandboxes;
  readonly #wanted: SandboxWanted;
  readonly #being = new SharedWork<string, string>();

  constructor(sandboxes: Sandboxes, { template }: DebugSandbox) {
    this.#sandboxes = sandboxes;
    this.#wanted = { template, env: {}, mounts: [], metadata: mark };
  }

  async of(caller: Caller | undefined, signal: AbortSignal): Promise<string> {
    if (caller === undefined) throw new RuntimeError("unauthenticated", "who calls is not known");
    return this.#there(caller)?.id ?? (await this.#made(caller, signal));
  }

  #there(caller: Caller): SandboxView | undefined {
    const filter = { metadata: mark, states: ["running", "paused"] } as const;
    return this.#sandboxes.list(caller, filter, { limit: 1 }).items[0];
  }

  /** What comes while it is being made waits for the same one. */
  async #made(caller: Caller, signal: AbortSignal): Promise<string> {
    return await this.#being.run(caller.tenant, signal, async (within) => {
      return this.#there(caller)?.id ?? (await this.#sandboxes.create(caller, this.#wanted, within)).id;
    });
  }
}
