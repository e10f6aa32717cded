import { codeOf } from "../../base/errors.js";
import type { AgentClient } from "../../vmm/agent/agent-client.js";
import { AskedOnce } from "./asked-once.js";

/** A place in a guest that no session has. */
export const noPlace = "/v/none";

/**
 * Whether a Box's agent knows a call, which those of earlier versions do not; each Box is asked once. `ask` makes the call
 * about something that is not there: an agent that knows it says `notFound`.
 */
export class AgentAbility extends AskedOnce<boolean> {
  constructor(ask: (agent: AgentClient, signal: AbortSignal) => Promise<unknown>) {
    super(async (box, signal) => {
      try {
        await ask(box.agent, signal);
        return true;
      } catch (thrown) {
        if (codeOf(thrown) === "notFound") return true;
        if (codeOf(thrown) === "unimplemented") return false;
        throw thrown;
      }
    });
  }
}
