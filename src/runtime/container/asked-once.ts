import { onItsOwn } from "../../base/hold.js";
import { orAborted } from "../../base/or-aborted.js";
import { neverAborted } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import { stepLimitMs as askLimitMs } from "./limits.js";

/** What a Box's agent answers for as long as the Box lives: each Box is asked once, and again after a failure. */
export class AskedOnce<T> {
  readonly #answers = new WeakMap<Box, Promise<T>>();
  readonly #ask: (box: Box, signal: AbortSignal) => Promise<T>;

  constructor(ask: (box: Box, signal: AbortSignal) => Promise<T>) {
    this.#ask = ask;
  }

  async of(box: Box, signal: AbortSignal): Promise<T> {
    const answer = this.#answers.get(box) ?? this.#begin(box);
    return await orAborted(answer, signal);
  }

  /** For all who come meanwhile: the one who asks first may leave. */
  #begin(box: Box): Promise<T> {
    const answer = onItsOwn(() =>
      stage("ask the Box's agent", askLimitMs, neverAborted, (limit) => this.#ask(box, limit)),
    );
    this.#answers.set(box, answer);
    answer.catch(() => this.#answers.delete(box));
    return answer;
  }
}
