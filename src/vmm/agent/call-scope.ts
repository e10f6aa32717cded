import { RuntimeError } from "../../base/errors.js";

/** A call that can be ended from here. */
export interface Cancelable {
  cancel(): void;
}

/**
 * The calls under way on one channel: `close` ends them all, for good, and says why. grpc-js alone would leave them
 * to their deadlines.
 */
export class CallScope {
  readonly #live = new Set<Cancelable>();
  readonly #closed = new AbortController();

  /** Aborts when the channel is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  throwIfClosed(): void {
    this.closed.throwIfAborted();
  }

  add(call: Cancelable): void {
    this.#live.add(call);
  }

  delete(call: Cancelable): void {
    this.#live.delete(call);
  }

  close(reason: string): void {
    if (this.closed.aborted) return;
    this.#closed.abort(new RuntimeError("unavailable", reason, { stage: "agent" }));
    for (const call of [...this.#live]) call.cancel();
  }

  /** Why a call that ended was made to end: the channel's reason, then the caller's; undefined when by itself. */
  endedBecause(signal: AbortSignal): Error | undefined {
    for (const one of [this.closed, signal]) {
      if (one.aborted) return one.reason instanceof Error ? one.reason : new RuntimeError("canceled", "aborted");
    }
    return undefined;
  }
}
