/** An upstream that says our key again, in an error or an echo, would say it to the guest: it is covered, byte for byte. */
const cover = 0x2a;

export class Scrub {
  readonly #key: Buffer;
  /** The end of what came, where it may be the key's beginning. */
  #held: Buffer = Buffer.alloc(0);

  constructor(key: string) {
    this.#key = Buffer.from(key, "latin1");
  }

  /** What may go on by now: all, but for what may be the beginning of the key. */
  write(chunk: Buffer): Buffer {
    const bytes = this.#covered(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]));
    const kept = this.#beginsAtEnd(bytes);
    this.#held = bytes.subarray(bytes.length - kept);
    return bytes.subarray(0, bytes.length - kept);
  }

  end(): Buffer {
    return this.#held;
  }

  #covered(bytes: Buffer): Buffer {
    let at = bytes.indexOf(this.#key);
    if (at < 0) return bytes;
    const copy = Buffer.from(bytes);
    for (; at >= 0; at = copy.indexOf(this.#key, at + this.#key.length)) copy.fill(cover, at, at + this.#key.length);
    return copy;
  }

  /** How many bytes at the end are the key's first. */
  #beginsAtEnd(bytes: Buffer): number {
    const first = this.#key[0] ?? 0;
    const from = Math.max(0, bytes.length - this.#key.length + 1);
    for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
      if (this.#key.subarray(0, bytes.length - at).equals(bytes.subarray(at))) return bytes.length - at;
    }
    return 0;
  }
}

export function scrubbed(text: string, key: string): string {
  return text.replaceAll(key, "*".repeat(key.length));
}
