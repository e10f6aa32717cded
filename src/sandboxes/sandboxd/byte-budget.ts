import { RuntimeError } from "../../base/errors.js";

/** How many bytes all who take from it may keep in memory together. */
export class ByteBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** `resourceExhausted` where there is no room. Whoever takes gives back. */
  take(bytes: number): void {
    if (bytes > this.#left) {
      throw new RuntimeError("resourceExhausted", "too much output is waiting for its clients", {
        hint: "stream it: process.v1 Start, or sandboxes.v1 RunProcess",
      });
    }
    this.#left -= bytes;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}
