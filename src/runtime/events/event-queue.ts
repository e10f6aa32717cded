import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";
import type { ContainerEvent } from "./container-event.js";

/** What one subscriber has not read yet. One reader. */
export class EventQueue {
  readonly #maxLength: number;
  #events: ContainerEvent[] = [];
  #end: RuntimeError | undefined;
  #wake: () => void = () => undefined;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  push(event: ContainerEvent): void {
    if (this.#end !== undefined) return;
    if (this.#events.length < this.#maxLength) {
      this.#events.push(event);
    } else {
      this.#events = []; // what is lost must not look complete
      this.#end = new RuntimeError("resourceExhausted", `more than ${this.#maxLength} events behind`, {
        hint: "subscribe again, then list",
      });
    }
    this.#wake();
  }

  /** The reader gets what is there, then this error. */
  end(reason: RuntimeError): void {
    this.#end ??= reason;
    this.#wake();
  }

  async next(signal: AbortSignal): Promise<ContainerEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#end !== undefined) throw this.#end;
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await orAborted(woken, signal);
    }
  }
}
