import { randomBytes } from "node:crypto";
import { RuntimeError } from "../base/errors.js";
import type { StreamRequest } from "./requests.js";

/** As in kubelet's own library (cri-streaming request_cache.go). */
const validMs = 60_000;
const maxOutstanding = 1000;
const tokenBytes = 16;

/** Requests that wait for their clients, each under a token that can be used once, and not for long. */
export class Tokens {
  readonly #waiting = new Map<string, { readonly request: StreamRequest; readonly untilMs: number }>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** `resourceExhausted` when too many wait. */
  issue(request: StreamRequest): string {
    const now = this.#nowMs();
    for (const [token, { untilMs }] of this.#waiting) {
      if (untilMs > now) break; // they stand in the order in which they expire
      this.#waiting.delete(token);
    }
    if (this.#waiting.size >= maxOutstanding) {
      throw new RuntimeError(
        "resourceExhausted",
        `${String(maxOutstanding)} streaming requests wait for their clients`,
        {
          hint: "try again in a minute",
        },
      );
    }
    const token = randomBytes(tokenBytes).toString("base64url");
    this.#waiting.set(token, { request, untilMs: now + validMs });
    return token;
  }

  /** Undefined for an unknown, used or expired token, and for one of another kind. */
  redeem(kind: string, token: string): StreamRequest | undefined {
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found !== undefined && found.untilMs > this.#nowMs() && found.request.kind === kind
      ? found.request
      : undefined;
  }
}
