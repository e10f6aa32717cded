import { codeOf } from "../../base/errors.js";
import { SharedWork } from "../../base/shared-work.js";
import { stage } from "../../base/stage.js";
import type { AgentClient } from "../../vmm/agent/agent-client.js";
import type { Box } from "../../vmm/box.js";
import { stepLimitMs } from "../container/limits.js";

/**
 * Whether a Box's agent knows a call, which those of earlier versions do not; each Box is asked once. `ask` makes the call
 * about something that is not there: an agent that knows it says `notFound`.
 */
export class AgentAbility {
  readonly #answers = new SharedWork<Box, boolean>({ results: new WeakMap() });
  readonly #ask: (agent: AgentClient, signal: AbortSignal) => Promise<unknown>;

  constructor(ask: (agent: AgentClient, signal: AbortSignal) => Promise<unknown>) {
    this.#ask = ask;
  }

  async of(box: Box, signal: AbortSignal): Promise<boolean> {
    return await this.#answers.run(box, signal, async (given) => {
      try {
        await stage("ask the Box's agent", stepLimitMs, given, (limit) => this.#ask(box.agent, limit));
        return true;
      } catch (thrown) {
        if (codeOf(thrown) === "notFound") return true;
        if (codeOf(thrown) === "unimplemented") return false;
        throw thrown;
      }
    });
  }
}
