/**
 * Picks single values out of JSON that comes in pieces, and checks on the way that it is JSON. Holds one name and one value at
 * a time, whatever the whole is: bodies are as large as a guest or an upstream makes them.
 */

/** What is looked for, as a tree of names; a list's items are below "[]". */
export interface Wanted {
  /** Told with the value, where it is one; a name that is there twice is told twice. */
  readonly as?: string;
  /** In lower case where `anyCase` is set. */
  readonly members?: ReadonlyMap<string, Wanted>;
  /** Readers in some languages take "Model" for "model". */
  readonly anyCase?: boolean;
}

/** A text or a number; undefined: something else, or too long to be what is looked for. `name`: as it was written. */
export type Found = (as: string, value: string | number | undefined, name: string) => void;

type State = "value" | "value or end" | "name" | "name or end" | "colon" | "after" | "done" | "broken";

interface Level {
  readonly isList: boolean;
  readonly wanted: Wanted | undefined;
}

/** Of a name or a value that is looked at, as it stands there. */
const mostHeld = 256;
const mostDepth = 256;
const items = "[]";

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

export class JsonPicker {
  readonly #root: Wanted;
  readonly #found: Found;
  #state: State = "value";
  #levels: Level[] = [];
  /** Of the value that comes next. */
  #wanted: Wanted | undefined;
  #name = "";
  /** Inside a text, a number or a word. */
  #inside: "text" | "escape" | "bare" | undefined;
  #held: number[] = [];
  #isHeld = false;
  #isTooLong = false;

  constructor(root: Wanted, found: Found) {
    this.#root = root;
    this.#found = found;
    this.#wanted = root;
  }

  /** It is no JSON; what comes further is not looked at. */
  get isBroken(): boolean {
    return this.#state === "broken";
  }

  write(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#state !== "broken"; at += 1) {
      if (this.#inside === "text" && !this.#isHeld) {
        at = this.#passText(chunk, at);
        if (at >= chunk.length) return;
      }
      this.#byte(chunk[at] ?? 0);
    }
  }

  /** Whether it was one whole value. */
  end(): boolean {
    if (this.#inside === "bare") this.#endBare();
    return this.#state === "done";
  }

  /** For the next one. */
  reset(): void {
    this.#state = "value";
    this.#levels = [];
    this.#wanted = this.#root;
    this.#name = "";
    this.#inside = undefined;
  }

  /** To where a text that nobody wants may end: most of a body is such texts. */
  #passText(chunk: Uint8Array, from: number): number {
    let at = from;
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (byte === quote || byte === backslash || byte < 0x20) break;
    }
    return at;
  }

  #byte(byte: number): void {
    if (this.#inside === "bare") {
      if (isBare(byte)) {
        this.#hold(byte);
        return;
      }
      this.#endBare();
      if (this.#state === "broken") return;
    }
    if (this.#inside !== undefined) this.#inText(byte);
    else if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) this.#structure(byte);
  }

  #inText(byte: number): void {
    if (this.#inside === "escape") {
      this.#hold(byte);
      this.#inside = "text";
    } else if (byte === quote) this.#endText();
    else if (byte < 0x20) this.#state = "broken";
    else {
      this.#hold(byte);
      if (byte === backslash) this.#inside = "escape";
    }
  }

  #structure(byte: number): void {
    switch (this.#state) {
      case "value":
      case "value or end":
        this.#beginValue(byte);
        return;
      case "name":
      case "name or end":
        if (byte === quote) this.#beginHeld("text", this.#levels.at(-1)?.wanted?.members !== undefined);
        else if (byte === closeObject && this.#state === "name or end") this.#close();
        else this.#state = "broken";
        return;
      case "colon":
        this.#state = byte === colon ? "value" : "broken";
        return;
      case "after":
        this.#after(byte);
        return;
      case "done":
      case "broken":
        this.#state = "broken";
        return;
    }
  }

  #beginValue(byte: number): void {
    const isLeaf = this.#wanted?.as !== undefined;
    if (byte === quote) this.#beginHeld("text", isLeaf);
    else if (byte === openObject || byte === openList) {
      if (isLeaf) this.#tell(undefined);
      if (this.#levels.length >= mostDepth) {
        this.#state = "broken";
        return;
      }
      const isList = byte === openList;
      this.#levels.push({ isList, wanted: this.#wanted });
      this.#state = isList ? "value or end" : "name or end";
      if (isList) this.#wanted = this.#wanted?.members?.get(items);
    } else if (byte === closeList && this.#state === "value or end") this.#close();
    else if (isBare(byte)) {
      this.#beginHeld("bare", true); // always, to see that it is a number or a word
      this.#hold(byte);
    } else this.#state = "broken";
  }

  #after(byte: number): void {
    const level = this.#levels.at(-1);
    if (level === undefined) this.#state = "broken";
    else if (byte === comma) {
      this.#state = level.isList ? "value" : "name";
      if (level.isList) this.#wanted = level.wanted?.members?.get(items);
    } else if (byte === (level.isList ? closeList : closeObject)) this.#close();
    else this.#state = "broken";
  }

  #close(): void {
    this.#levels.pop();
    this.#endValue();
  }

  #endValue(): void {
    this.#state = this.#levels.length === 0 ? "done" : "after";
  }

  #beginHeld(inside: "text" | "bare", isHeld: boolean): void {
    this.#inside = inside;
    this.#isHeld = isHeld;
    this.#isTooLong = false;
    this.#held = [];
  }

  #hold(byte: number): void {
    if (!this.#isHeld || this.#isTooLong) return;
    if (this.#held.length >= mostHeld) this.#isTooLong = true;
    else this.#held.push(byte);
  }

  #endText(): void {
    this.#inside = undefined;
    const text = this.#isHeld && !this.#isTooLong ? textOf(this.#held) : undefined;
    if (this.#state === "name" || this.#state === "name or end") {
      const wanted = this.#levels.at(-1)?.wanted;
      this.#name = text ?? "";
      this.#wanted = text === undefined ? undefined : wanted?.members?.get(keyOf(text, wanted));
      this.#state = "colon";
      return;
    }
    if (this.#isHeld) this.#tell(text);
    this.#endValue();
  }

  #endBare(): void {
    this.#inside = undefined;
    const text = String.fromCharCode(...this.#held);
    const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text);
    if (this.#isTooLong || (!isNumber && text !== "true" && text !== "false" && text !== "null")) {
      this.#state = "broken";
      return;
    }
    if (this.#wanted?.as !== undefined) this.#tell(isNumber ? Number(text) : undefined);
    this.#endValue();
  }

  #tell(value: string | number | undefined): void {
    const as = this.#wanted?.as;
    if (as !== undefined) this.#found(as, value, this.#name);
  }
}

/** Go's readers take the long s (U+017F) and the Kelvin sign (U+212A) for letters of theirs: one way alone finds only one of them. */
function keyOf(name: string, { anyCase }: Wanted): string {
  return anyCase === true ? name.toUpperCase().toLowerCase() : name;
}

function isBare(byte: number): boolean {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const isLetter = (byte >= 0x61 && byte <= 0x7a) || byte === 0x45;
  return isDigit || isLetter || byte === 0x2d || byte === 0x2b || byte === 0x2e;
}

/** Undefined for escapes that are none. */
function textOf(held: readonly number[]): string | undefined {
  const raw = Buffer.from(held).toString("utf8");
  if (!raw.includes("\\")) return raw;
  try {
    const text: unknown = JSON.parse(`"${raw}"`);
    return typeof text === "string" ? text : undefined;
  } catch {
    return undefined;
  }
}

/** `["usage.input_tokens", "input"]`: where, and as what it is told. */
export function wantedOf(paths: readonly (readonly [string, string])[]): Wanted {
  interface Node {
    as?: string;
    members?: Map<string, Node>;
  }
  const root: Node = {};
  for (const [path, as] of paths) {
    let node = root;
    for (const name of path.split(".")) {
      const members: Map<string, Node> = (node.members ??= new Map());
      const next = members.get(name) ?? {};
      members.set(name, next);
      node = next;
    }
    node.as = as;
  }
  return root;
}
