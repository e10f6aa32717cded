import type { Logger } from "./log.js";
import { messageOf } from "./errors.js";
import { stage } from "./stage.js";

interface Step {
  readonly name: string;
  readonly undo: (signal: AbortSignal) => Promise<unknown>;
}

/**
 * The undo stack of a multi-step creation. `await using undo = new Cleanup(log, limitMs)`; after each step `add` what
 * takes it back; at the end `release`, and the record owns the parts.
 *
 * Steps run newest first, each under a fresh limit (the caller's signal may be the reason we are here); one that fails
 * is logged and the rest goes on.
 */
export class Cleanup {
  readonly #log: Logger;
  readonly #limitMs: number;
  #steps: Step[] = [];

  constructor(log: Logger, limitMs: number) {
    this.#log = log;
    this.#limitMs = limitMs;
  }

  add(name: string, undo: (signal: AbortSignal) => Promise<unknown>): void {
    this.#steps.push({ name, undo });
  }

  release(): void {
    this.#steps = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await stage(`undo: ${step.name}`, this.#limitMs, new AbortController().signal, step.undo);
      } catch (thrown) {
        this.#log.warn({ step: step.name, err: messageOf(thrown) }, "undo step failed");
      }
    }
  }
}
