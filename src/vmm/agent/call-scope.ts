import { RuntimeError } from "../../base/errors.js";
import { Rest, resting } from "./rest.js";

/** A call that can be ended from here. */
export interface Cancelable {
  cancel(): void;
}

/**
 * The calls under way on one channel: `close` ends them all, for good, and says why. grpc-js alone would leave them
 * to their deadlines.
 */
export class CallScope {
  /** While the guest stands still on purpose. */
  readonly rest = new Rest();
  readonly #live = new Set<Cancelable>();
  readonly #closed = new AbortController();
  readonly #broken = new AbortController();
  #calls = 0;
  #messageBytes = 0;

  /** Aborts when the channel is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Aborts when the agent has sent what its contract forbids, with the error that says what. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  throwIfClosed(): void {
    this.closed.throwIfAborted();
  }

  /** Nothing is sent to a guest that stands still, either. */
  throwIfShut(): void {
    this.throwIfClosed();
    this.rest.throwIfResting();
  }

  /** Calls that were made, ever. */
  get calls(): number {
    return this.#calls;
  }

  /** Bytes of the messages that were received, ever. */
  get messageBytes(): number {
    return this.#messageBytes;
  }

  received(messageBytes: number): void {
    this.#messageBytes += messageBytes;
  }

  add(call: Cancelable): void {
    this.#calls += 1;
    this.#live.add(call);
  }

  delete(call: Cancelable): void {
    this.#live.delete(call);
  }

  close(reason: string): void {
    this.#close(new RuntimeError("unavailable", reason, { stage: "agent" }));
  }

  /** Ends the channel because of what came over it. The first reason counts. */
  break(reason: RuntimeError): void {
    if (this.closed.aborted) return;
    this.#close(reason);
    this.#broken.abort(reason);
  }

  #close(reason: RuntimeError): void {
    if (this.closed.aborted) return;
    this.#closed.abort(reason);
    for (const call of [...this.#live]) call.cancel();
  }

  /** Why a call that ended was made to end: the channel's reason, then the caller's; undefined when by itself. */
  endedBecause(signal: AbortSignal): Error | undefined {
    for (const one of [this.closed, signal]) {
      if (one.aborted) return one.reason instanceof Error ? one.reason : new RuntimeError("canceled", "aborted");
    }
    return this.rest.isResting ? resting() : undefined;
  }
}
