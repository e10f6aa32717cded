import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { stage } from "../../base/stage.js";
import { neverAborted } from "../../base/signals.js";

/** An agent whose client has gone without a word is kept for that long. */
const keptMs = 600_000;
const endLimitMs = 20_000;

export interface Attachment {
  /** Aborts when another connection takes the agent up. */
  readonly signal: AbortSignal;
  /** The connection has ended. over: the agent ends; left: it waits for another. */
  readonly leave: (how: "over" | "left", end: (signal: AbortSignal) => Promise<void>) => void;
}

/** Which connection has which agent: one at a time, the newest. Agents that an earlier daemon knew of are their sandbox's. */
export class Attachments {
  readonly #log: Logger;
  readonly #of = new Map<string, { readonly controller: AbortController; timer?: NodeJS.Timeout }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  attach(key: string): Attachment {
    const before = this.#of.get(key);
    clearTimeout(before?.timer);
    before?.controller.abort(new RuntimeError("canceled", "another connection has taken the agent up"));
    const own: { readonly controller: AbortController; timer?: NodeJS.Timeout } = { controller: new AbortController() };
    this.#of.set(key, own);
    return {
      signal: own.controller.signal,
      leave: (how, end) => {
        if (this.#of.get(key) !== own) return; // it is another's now
        const over = (): void => {
          if (this.#of.get(key) === own) this.#of.delete(key);
          void this.#end(key, end);
        };
        if (how === "over") over();
        else own.timer = setTimeout(over, keptMs).unref();
      },
    };
  }

  async #end(key: string, end: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await stage("end agent", endLimitMs, neverAborted, end);
    } catch (thrown) {
      this.#log.warn({ agent: key, err: messageOf(thrown) }, "an agent could not be ended");
    }
  }
}
