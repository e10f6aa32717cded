import { monotonicMs } from "../../../base/clock.js";
import type { EgressReason } from "../closed.js";
import { nameFits } from "../names.js";
import { judge, mayPin, type Egress } from "../policy.js";
import { addressOf, type Family } from "../ranges.js";
import { readQuestion, recordTypes, writeAnswer, writeRefusal, type Answer, type Question } from "./message.js";
import type { Upstream } from "./upstream.js";

/** What a Box has asked for and was not told. */
export interface RefusedName {
  readonly name: string;
  readonly reason: EgressReason;
  readonly count: number;
  readonly atMs: number;
}

export interface ResolverOptions {
  readonly upstream: Upstream;
  /** Resolves when packets to these may leave for that long. */
  readonly pin: (name: string, addresses: readonly string[], ms: number) => Promise<void>;
  readonly refused: (reason: EgressReason) => void;
}

const leastTtlS = 30;
const mostTtlS = 3600;
/** A program may go on with what it was told for a while longer. */
const graceMs = 300_000;
/** All of them then fit into what every client takes. */
const mostAddresses = 8;
const mostKept = 512;
const mostRefused = 64;
/** Questions that nobody has asked before: each is one upstream, and one write of rules. */
const mostUnderWay = 32;
const newPerSecond = 20;
const newAtOnce = 100;

interface Kept {
  readonly answer: Answer;
  readonly untilMs: number;
}

/** What has come of a question upstream: an answer for whoever has asked, or why none of it is told. */
type Outcome = Answer | { readonly refused: EgressReason };

/**
 * Answers what one Box asks. A name that no rule allows is not asked of anybody; of one that is allowed only addresses are
 * told, none that is closed or denied, and each only when the rules let packets to it out.
 */
export class BoxResolver {
  readonly #options: ResolverOptions;
  #egress: Egress;
  readonly #kept = new Map<string, Kept>();
  readonly #underWay = new Map<string, Promise<Outcome>>();
  readonly #refused = new Map<string, RefusedName>();
  #tokens = newAtOnce;
  #tokensAtMs = monotonicMs();

  constructor(egress: Egress, options: ResolverOptions) {
    this.#egress = egress;
    this.#options = options;
  }

  /** Other rules from now on; what was found under the old ones is asked for again. */
  setRules(egress: Egress): void {
    this.#egress = egress;
    this.#kept.clear();
    this.#underWay.clear();
  }

  /** The last first. */
  get refusedNames(): readonly RefusedName[] {
    return [...this.#refused.values()].reverse();
  }

  /** Undefined where nothing is to be said. */
  async answer(message: Buffer): Promise<Buffer | undefined> {
    const question = readQuestion(message);
    if (question === undefined) {
      this.#options.refused("dns");
      return undefined;
    }
    if (!("name" in question)) {
      this.#options.refused("dns");
      return writeRefusal(question);
    }
    return writeAnswer(question, await this.#answerTo(question));
  }

  async #answerTo({ name, type }: Question): Promise<Answer> {
    if (!nameFits(name, this.#egress.names)) return this.#refuse(name, "name");
    const family = type === recordTypes.A ? 4 : type === recordTypes.AAAA ? 6 : undefined;
    if (family === undefined) return nothing("ok"); // of any other type there is none
    const key = `${name} ${String(family)}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.untilMs > monotonicMs()) return kept.answer;
    const joined = this.#underWay.get(key);
    if (joined !== undefined) return this.#told(name, await joined);
    if (this.#underWay.size >= mostUnderWay || !this.#takeToken()) {
      this.#options.refused("dns");
      return nothing("failed");
    }
    const asked = this.#ask(name, family, this.#egress);
    this.#underWay.set(key, asked);
    try {
      return this.#told(name, await asked);
    } finally {
      if (this.#underWay.get(key) === asked) this.#underWay.delete(key);
    }
  }

  /** A refusal counts for each who has asked, also where one question upstream was for several. */
  #told(name: string, outcome: Outcome): Answer {
    return "refused" in outcome ? this.#refuse(name, outcome.refused) : outcome;
  }

  async #ask(name: string, family: Family, egress: Egress): Promise<Outcome> {
    const found = await this.#options.upstream(name, family);
    const allowed = found.addresses.filter((address) => mayPin(egress, address)).slice(0, mostAddresses);
    const [first] = found.addresses;
    if (first !== undefined && allowed.length === 0) {
      const verdict = judge(egress, first);
      return { refused: verdict === "allowed" ? "name" : verdict };
    }
    if (allowed.length === 0) return nothing(found.code);
    const ttlS = Math.min(Math.max(found.ttlS, leastTtlS), mostTtlS);
    // Other rules have come meanwhile. Whoever changes them waits for pins that were asked for before.
    if (this.#egress !== egress) return nothing("failed");
    try {
      await this.#options.pin(name, allowed, ttlS * 1000 + graceMs);
    } catch {
      return nothing("failed"); // an address that the rules do not know would only look as if it were down
    }
    if (this.#egress !== egress) return nothing("failed"); // the change may have taken the pin away
    const answer: Answer = { code: "ok", addresses: allowed.map((address) => bytesOf(address)), ttlS };
    this.#keep(`${name} ${String(family)}`, { answer, untilMs: monotonicMs() + ttlS * 1000 });
    return answer;
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > mostKept && oldest !== undefined) this.#kept.delete(oldest);
  }

  #refuse(name: string, reason: EgressReason): Answer {
    this.#options.refused(reason);
    const before = this.#refused.get(name)?.count ?? 0;
    this.#refused.delete(name);
    this.#refused.set(name, { name, reason, count: before + 1, atMs: Date.now() });
    const [oldest] = this.#refused.keys();
    if (this.#refused.size > mostRefused && oldest !== undefined) this.#refused.delete(oldest);
    return nothing("noName");
  }

  #takeToken(): boolean {
    const now = monotonicMs();
    this.#tokens = Math.min(newAtOnce, this.#tokens + ((now - this.#tokensAtMs) / 1000) * newPerSecond);
    this.#tokensAtMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

function nothing(code: Answer["code"]): Answer {
  return { code, addresses: [], ttlS: 0 };
}

function bytesOf(address: string): Buffer {
  const found = addressOf(address);
  const digits = found?.family === 6 ? 32 : 8;
  return Buffer.from((found?.value ?? 0n).toString(16).padStart(digits, "0"), "hex");
}
