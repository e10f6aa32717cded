import { RuntimeError } from "../../base/errors.js";
import { HeldBytes } from "../../base/held-bytes.js";

/** A whole message of the agent's, and where in all of its output the next one begins. */
export interface Line {
  readonly text: string;
  readonly after: number;
}

const newline = 0x0a;

/** What an agent writes, as lines: JSON-RPC by standard output has one message in each. */
export class Lines {
  readonly #most: number;
  #held = new HeldBytes();
  #beganAt: number | undefined;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  /** Where somebody has to read on who has had every line until now; undefined: behind all that came. */
  get beganAt(): number | undefined {
    return this.#beganAt;
  }

  /** `offset`: of the first byte. Throws `resourceExhausted` for a line without an end. */
  *add(data: Uint8Array, offset: number): Generator<Line> {
    let from = 0;
    for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, from)) {
      this.#keep(data.subarray(from, end), offset + from);
      const text = this.#held.all().toString("utf8").trim();
      this.#held = new HeldBytes();
      this.#beganAt = undefined;
      from = end + 1;
      if (text !== "") yield { text, after: offset + from };
    }
    if (from < data.length) this.#keep(data.subarray(from), offset + from);
  }

  #keep(part: Uint8Array, offset: number): void {
    if (this.#held.length + part.length > this.#most) {
      throw new RuntimeError("resourceExhausted", `the agent's message has more than ${String(this.#most)} bytes`);
    }
    this.#beganAt ??= offset;
    this.#held.add(part);
  }
}

/** One message as one line: in JSON a line break is either space between words, or no JSON. */
export function lineOf(message: string): string {
  return `${message.replaceAll(/[\r\n]+/g, " ").trim()}\n`;
}
