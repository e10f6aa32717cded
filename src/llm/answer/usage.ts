/** What a call has cost, read from the answer as it goes by. */
import type { LlmUsage } from "../../metrics/llm-figures.js";
import { JsonPicker, wantedOf } from "../json-picker.js";

type Member = "input" | "output" | "cacheRead" | "cacheWrite" | "reasoning" | "fresh";

/**
 * Where each provider says it. A stream says the same again and again, and grows: the last word counts. `fresh`: Anthropic's
 * input, without what its caches have to do with.
 */
const ofUsage: readonly (readonly [string, Member])[] = [
  ["input_tokens", "input"],
  ["output_tokens", "output"],
  ["input_tokens_details.cached_tokens", "cacheRead"],
  ["output_tokens_details.reasoning_tokens", "reasoning"],
  ["prompt_tokens", "input"],
  ["completion_tokens", "output"],
  ["prompt_tokens_details.cached_tokens", "cacheRead"],
  ["completion_tokens_details.reasoning_tokens", "reasoning"],
];
const ofAnthropic: readonly (readonly [string, Member])[] = [
  ["input_tokens", "fresh"],
  ["output_tokens", "output"],
  ["cache_read_input_tokens", "cacheRead"],
  ["cache_creation_input_tokens", "cacheWrite"],
];
const ofGemini: readonly (readonly [string, Member])[] = [
  ["promptTokenCount", "input"],
  ["candidatesTokenCount", "output"],
  ["cachedContentTokenCount", "cacheRead"],
  ["thoughtsTokenCount", "reasoning"],
];

const below = (
  places: readonly string[],
  members: readonly (readonly [string, Member])[],
): (readonly [string, Member])[] =>
  places.flatMap((place) => members.map(([name, as]) => [`${place}.${name}`, as] as const));

const wanted = {
  anthropic: wantedOf(below(["usage", "message.usage"], ofAnthropic)),
  openai: wantedOf(below(["usage", "response.usage"], ofUsage)),
  gemini: wantedOf(below(["usageMetadata", "[].usageMetadata"], ofGemini)),
};
/** More than any model can: an upstream's nonsense is not counted. */
const mostTokens = 1_000_000_000;

export class UsageMeter {
  readonly #found = new Map<Member, number>();
  readonly #picker: JsonPicker;
  readonly #kind: keyof typeof wanted;
  readonly #lines: EventLines | undefined;

  constructor(kind: keyof typeof wanted, isStream: boolean, onEvent: () => void) {
    this.#kind = kind;
    this.#picker = new JsonPicker(wanted[kind], (as, value) => {
      this.#take(as, value);
    });
    this.#lines = isStream ? new EventLines(this.#picker, onEvent) : undefined;
  }

  write(chunk: Buffer): void {
    if (this.#lines === undefined) this.#picker.write(chunk);
    else this.#lines.write(chunk);
  }

  /** Undefined: it has not said. */
  usage(): LlmUsage | undefined {
    if (this.#found.size === 0) return undefined;
    const of = (member: Member): number => this.#found.get(member) ?? 0;
    const [cacheRead, cacheWrite, reasoning] = [of("cacheRead"), of("cacheWrite"), of("reasoning")];
    if (this.#kind === "anthropic") {
      return { input: of("fresh") + cacheRead + cacheWrite, output: of("output"), cacheRead, cacheWrite, reasoning };
    }
    // Google counts thoughts beside what is said, the others among it.
    const output = of("output") + (this.#kind === "gemini" ? reasoning : 0);
    return { input: of("input"), output, cacheRead, cacheWrite, reasoning };
  }

  #take(as: string, value: string | number | undefined): void {
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > mostTokens) return;
    for (const known of members) if (known === as) this.#found.set(known, value);
  }
}

const members: readonly Member[] = ["input", "output", "cacheRead", "cacheWrite", "reasoning", "fresh"];

const [newline, carriageReturn] = [0x0a, 0x0d];
const field = Buffer.from("data:");

/** Server-sent events (WHATWG HTML, 9.2): the data of each is one JSON, which may be of any length. */
class EventLines {
  readonly #picker: JsonPicker;
  readonly #onEvent: () => void;
  /** Of the present line: so many bytes were the field's name, all of them as they should be. */
  #matched = 0;
  #isOther = false;
  #isEmpty = true;
  #hasData = false;

  constructor(picker: JsonPicker, onEvent: () => void) {
    this.#picker = picker;
    this.#onEvent = onEvent;
  }

  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      const end = chunk.indexOf(newline, at);
      this.#part(chunk.subarray(at, end < 0 ? chunk.length : end));
      if (end < 0) return;
      this.#endLine();
      at = end + 1;
    }
  }

  #part(part: Buffer): void {
    let at = 0;
    while (at < part.length && !this.#isOther && this.#matched < field.length) {
      if (part[at] === carriageReturn && this.#isEmpty) return;
      this.#isEmpty = false;
      if (part[at] === field[this.#matched]) this.#matched += 1;
      else this.#isOther = true;
      at += 1;
    }
    if (this.#isOther || at >= part.length) return;
    this.#hasData = true;
    this.#picker.write(part.subarray(at));
  }

  #endLine(): void {
    if (this.#isEmpty && this.#hasData) {
      this.#picker.reset();
      this.#hasData = false;
      this.#onEvent();
    }
    this.#matched = 0;
    this.#isOther = false;
    this.#isEmpty = true;
  }
}
