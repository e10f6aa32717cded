import type { Logger } from "./log.js";
import { messageOf } from "./errors.js";
import { currentHold, onItsOwn, under } from "./hold.js";
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
 * is logged and the rest goes on. Undo steps succeed when there is nothing to undo: where a step of the creation was given
 * up, the caller gets its answer at once, and they run again when that step has settled (`Hold.undoLater`).
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
    const steps = this.#steps.splice(0).reverse();
    if (steps.length === 0) return;
    const hold = currentHold();
    if (hold === undefined) await onItsOwn(() => this.#undo(steps));
    else if (hold.isFree) await onItsOwn(() => under(hold, () => this.#undo(steps)));
    else hold.undoLater(() => this.#undo(steps));
  }

  async #undo(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      try {
        await stage(`undo: ${step.name}`, this.#limitMs, new AbortController().signal, step.undo);
      } catch (thrown) {
        this.#log.warn({ step: step.name, err: messageOf(thrown) }, "undo step failed");
      }
    }
  }
}

/** Takes back what was made: at once, but where a step was given up, when that has settled and without the caller. */
export async function takeBack(undo: () => Promise<unknown>): Promise<void> {
  const hold = currentHold();
  if (hold === undefined || hold.isFree) await undo();
  else
    hold.undoAfter(async () => {
      await undo();
    });
}
