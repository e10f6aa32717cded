import { codeOf } from "../../base/errors.js";
import type { AgentClient } from "../../vmm/agent/agent-client.js";
import type { Box } from "../../vmm/box.js";

/** A place in a guest that no session has. */
export const noPlace = "/v/none";

/**
 * Whether a Box's agent knows a call, which those of earlier versions do not; each Box is asked once. `ask` makes the call
 * about something that is not there: an agent that knows it says `notFound`.
 */
export class AgentAbility {
  readonly #able = new WeakMap<Box, Promise<boolean>>();
  readonly #ask: (agent: AgentClient, signal: AbortSignal) => Promise<unknown>;

  constructor(ask: (agent: AgentClient, signal: AbortSignal) => Promise<unknown>) {
    this.#ask = ask;
  }

  async of(box: Box, signal: AbortSignal): Promise<boolean> {
    const able = this.#able.get(box) ?? this.#isAble(box, signal);
    this.#able.set(box, able);
    able.catch(() => this.#able.delete(box));
    return await able;
  }

  async #isAble(box: Box, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#ask(box.agent, signal);
      return true;
    } catch (thrown) {
      if (codeOf(thrown) === "notFound") return true;
      if (codeOf(thrown) === "unimplemented") return false;
      throw thrown;
    }
  }
}
