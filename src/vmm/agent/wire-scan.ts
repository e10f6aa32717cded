import { RuntimeError } from "../../base/errors.js";

/** What is known of a field whose wire type is "length-delimited". Fields that are plain text or bytes need no entry. */
export interface FieldBound {
  /** For errors: "sessions.exec_ids". */
  readonly name: string;
  /** Of a repeated field: how many elements the whole message may have of it, whatever they are nested in. */
  readonly most?: number;
  /** Its elements are messages. Every field of a message's type has this: the decoder goes into it, so the scan does. */
  readonly message?: MessageBound;
  /** Its elements are varints, which may be packed into one field or stand alone. */
  readonly packed?: true;
  /** Longest element, of text or bytes. */
  readonly bytes?: number;
}

/** By field number. */
export type MessageBound = Readonly<Record<number, FieldBound>>;

export interface Bounds {
  readonly bytes: number;
  /** Fields of all kinds, nested ones too: what decoding costs does not grow beyond this. */
  readonly fields: number;
  readonly message: MessageBound;
}

const wire = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;
const longestVarint = 10;
const longestTag = 5;

/**
 * Counts what is in a message before it is decoded: one pass over the bytes, which makes nothing. It is stricter than the
 * decoder, so that both see the same fields: a tag that the decoder would stop at, a group, and a field that reaches out of
 * the message around it are refused. Throws a `brokenContract`.
 */
export function scanMessage(bytes: Uint8Array, bounds: Bounds): void {
  if (bytes.length > bounds.bytes)
    throw broken(`a message of ${bytes.length} bytes, at most ${bounds.bytes} are allowed`);
  new Scan(bytes, bounds.fields).message(bytes.length, bounds.message);
}

/** The agent has sent what the contract forbids. */
export function broken(what: string): RuntimeError {
  return new RuntimeError("brokenContract", `the guest's agent breaks its contract: ${what}`, { stage: "agent" });
}

class Scan {
  readonly #bytes: Uint8Array;
  readonly #mostFields: number;
  readonly #counts = new Map<FieldBound, number>();
  #fields = 0;
  #at = 0;

  constructor(bytes: Uint8Array, mostFields: number) {
    this.#bytes = bytes;
    this.#mostFields = mostFields;
  }

  message(end: number, message: MessageBound): void {
    while (this.#at < end) {
      this.#fields += 1;
      if (this.#fields > this.#mostFields) throw broken(`more than ${this.#mostFields} fields`);
      const tag = this.#number(end, longestTag);
      const field = message[Math.floor(tag / 8)];
      if (tag < 8 || tag > 0xffff_ffff) throw broken("a field without a number");
      this.#value(tag % 8, end, field);
    }
  }

  #value(type: number, end: number, field: FieldBound | undefined): void {
    if (type === wire.delimited) {
      const length = this.#number(end, longestTag);
      this.#delimited(this.#inside(length, end), field);
    } else if (type === wire.varint) {
      this.#skipVarint(end);
      if (field?.packed === true) this.#count(field, 1);
    } else if (type === wire.fixed64 || type === wire.fixed32) {
      this.#at = this.#inside(type === wire.fixed64 ? 8 : 4, end);
    } else {
      throw broken(`a field of wire type ${type}`);
    }
  }

  #delimited(end: number, field: FieldBound | undefined): void {
    if (field?.packed === true) {
      this.#count(field, this.#varints(end));
    } else if (field !== undefined) {
      this.#count(field, 1);
      if (field.bytes !== undefined && end - this.#at > field.bytes) {
        throw broken(`${end - this.#at} bytes of ${field.name}, at most ${field.bytes} are allowed`);
      }
      if (field.message !== undefined) this.message(end, field.message);
    }
    this.#at = end;
  }

  #count(field: FieldBound, more: number): void {
    const count = (this.#counts.get(field) ?? 0) + more;
    if (field.most !== undefined && count > field.most) throw broken(`more than ${field.most} ${field.name}`);
    this.#counts.set(field, count);
  }

  /** How many there are up to the end: each has one last byte. */
  #varints(end: number): number {
    let count = 0;
    for (let at = this.#at; at < end; at++) if (this.#byte(at) < 0x80) count += 1;
    if (end > this.#at && this.#byte(end - 1) >= 0x80) throw broken("a number without an end");
    return count;
  }

  #inside(length: number, end: number): number {
    if (length > end - this.#at) throw broken("a field that is longer than its message");
    return this.#at + length;
  }

  /** Of a tag or a length. */
  #number(end: number, most: number): number {
    let value = 0;
    for (let length = 0; length < most && this.#at < end; length++) {
      const byte = this.#byte(this.#at);
      this.#at += 1;
      value += (byte % 0x80) * 2 ** (7 * length);
      if (byte < 0x80) return value;
    }
    throw broken("a number without an end");
  }

  #skipVarint(end: number): void {
    const last = Math.min(end, this.#at + longestVarint);
    while (this.#at < last) {
      const byte = this.#byte(this.#at);
      this.#at += 1;
      if (byte < 0x80) return;
    }
    throw broken("a number without an end");
  }

  #byte(at: number): number {
    return this.#bytes[at] ?? 0;
  }
}
