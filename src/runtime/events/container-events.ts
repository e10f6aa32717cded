import { nowNs } from "../../base/clock.js";
import { RuntimeError } from "../../base/errors.js";
import { EventQueue } from "./event-queue.js";
import type { ContainerEvent } from "./container-event.js";

/** kubelet reads as fast as it can. */
const usualMaxBehind = 1000;

type Event = Omit<ContainerEvent, "atNs">;

/**
 * What happens to pods and containers. Who publishes does so right after the record on disk has changed, in the same turn as the
 * change shows in the lists: a client that subscribes first and lists then misses nothing. Nothing is kept for later
 * subscribers.
 */
export class ContainerEvents {
  readonly #queues = new Set<EventQueue>();
  readonly #maxBehind: number;
  #lastNs = 0n;
  #closed: RuntimeError | undefined;

  /** `maxBehind`: events that a subscriber may have left unread before it is cut off. */
  constructor(maxBehind = usualMaxBehind) {
    this.#maxBehind = maxBehind;
  }

  /**
   * To everybody who listens, in the order of the calls; never waits. `make` is called at once, and only when somebody
   * listens: the facts in an event are those of this moment.
   */
  publish(make: () => Event): void {
    if (this.#queues.size === 0) return;
    const event: ContainerEvent = { ...make(), atNs: this.#nextNs() };
    for (const queue of this.#queues) queue.push(event);
  }

  /**
   * Events from this call on, until the signal aborts. One who falls too far behind gets `resourceExhausted`: an event
   * that is left out silently would be worse.
   */
  subscribe(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    const queue = new EventQueue(this.#maxBehind);
    if (this.#closed === undefined) this.#queues.add(queue);
    else queue.end(this.#closed);
    return this.#events(queue, signal);
  }

  /** Ends every subscription: the daemon stops. */
  close(): void {
    this.#closed = new RuntimeError("unavailable", "the daemon is stopping", { hint: "subscribe again" });
    for (const queue of this.#queues) queue.end(this.#closed);
    this.#queues.clear();
  }

  async *#events(queue: EventQueue, signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    try {
      for (;;) yield await queue.next(signal);
    } finally {
      this.#queues.delete(queue);
    }
  }

  /** Unix nanoseconds, rising from event to event. */
  #nextNs(): bigint {
    const now = nowNs();
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }
}
