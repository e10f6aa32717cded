/** What Boxes and tenants may still ask of one provider. */
import type { LlmConfig, LlmLimits } from "../../config/llm.js";
import type { LlmBox } from "../box.js";
import { Refusal } from "../refusal.js";
import { Bucket } from "./bucket.js";

interface Account {
  readonly whose: string;
  readonly limits: LlmLimits;
  readonly requests: Bucket | undefined;
  readonly tokens: Bucket | undefined;
  running: number;
}

/** While a request is under way. */
export interface Admitted {
  /** Once, with the tokens that it has cost. */
  end(tokens: number): void;
}

/** Of a place that frees when another's request ends, which may be any time. */
const placeRetryMs = 1000;
/** Accounts in which nothing is missing are forgotten when there are more than this. */
const manyAccounts = 256;

export class Quota {
  readonly #config: Pick<LlmConfig, "box" | "tenant">;
  readonly #accounts = new Map<string, Account>();
  readonly #nowMs: () => number;

  constructor(config: Pick<LlmConfig, "box" | "tenant">, nowMs: () => number) {
    this.#config = config;
    this.#nowMs = nowMs;
  }

  /** Throws a `Refusal` with the time after which it is worth another try; then nothing was taken. */
  admit({ id, tenant }: Pick<LlmBox, "id" | "tenant">): Admitted {
    const nowMs = this.#nowMs();
    const [box, all] = [`box ${id}`, `tenant ${tenant}`];
    // Before either is looked up: one that is new has nothing missing, and must not go for the other.
    if (!this.#accounts.has(box) || !this.#accounts.has(all)) this.#makeRoom(nowMs);
    const accounts = [
      this.#account(box, "this Box", this.#config.box, nowMs),
      this.#account(all, "this tenant", this.#config.tenant, nowMs),
    ];
    for (const account of accounts) check(account, nowMs);
    for (const account of accounts) {
      account.requests?.take(1, nowMs);
      account.running += 1;
    }
    return {
      end: (tokens) => {
        for (const account of accounts) {
          account.running -= 1;
          account.tokens?.take(tokens, this.#nowMs());
        }
      },
    };
  }

  /** Accounts that are kept. */
  get size(): number {
    return this.#accounts.size;
  }

  #account(key: string, whose: string, limits: LlmLimits, nowMs: number): Account {
    const known = this.#accounts.get(key);
    if (known !== undefined) return known;
    const bucket = (perMinute: number): Bucket | undefined =>
      perMinute === 0 ? undefined : new Bucket(perMinute, nowMs);
    const { requestsAMinute, tokensAMinute } = limits;
    const account = { whose, limits, requests: bucket(requestsAMinute), tokens: bucket(tokensAMinute), running: 0 };
    this.#accounts.set(key, account);
    return account;
  }

  #makeRoom(nowMs: number): void {
    if (this.#accounts.size < manyAccounts) return;
    for (const [key, { requests, running, tokens }] of this.#accounts) {
      if (running === 0 && requests?.isFull(nowMs) !== false && tokens?.isFull(nowMs) !== false) {
        this.#accounts.delete(key);
      }
    }
  }
}

function check({ limits, requests, running, tokens, whose }: Account, nowMs: number): void {
  if (limits.concurrent > 0 && running >= limits.concurrent) {
    throw tooMany("concurrent", `${whose} has ${String(running)} requests under way`, placeRetryMs);
  }
  const requestMs = requests?.waitMs(nowMs) ?? 0;
  if (requestMs > 0) throw tooMany("requests", `${whose} has had its requests of this minute`, requestMs);
  const tokenMs = tokens?.waitMs(nowMs) ?? 0;
  if (tokenMs > 0) throw tooMany("tokens", `${whose} has had its tokens of this minute`, tokenMs);
}

function tooMany(reason: "concurrent" | "requests" | "tokens", why: string, retryMs: number): Refusal {
  return new Refusal(reason, 429, why, { retryAfterSeconds: Math.max(1, Math.ceil(retryMs / 1000)) });
}
