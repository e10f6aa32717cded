/** The token of one pod's runtime API, by its digest. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Caller } from "../core/caller.js";
import type { TokenOwners } from "../listen/who/known.js";

export class PodToken implements TokenOwners {
  readonly #digest: Buffer;
  readonly #caller: Caller;

  /** `caller`: whoever has it. */
  constructor(digest: Buffer, caller: Caller) {
    this.#digest = digest;
    this.#caller = caller;
  }

  isThatOf(token: string): boolean {
    return timingSafeEqual(createHash("sha256").update(token).digest(), this.#digest);
  }

  ownerOf(token: string): Promise<Caller | undefined> {
    return Promise.resolve(this.isThatOf(token) ? this.#caller : undefined);
  }
}
