/**
 * Bytes as they come, in messages of one size: each costs the guest a turn of its own, and 100 MB that come in 16 KiB took
 * it half as long again.
 */
export class Gather {
  readonly #size: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** The messages that are full now. */
  *add(chunk: Uint8Array): Generator<Uint8Array, void> {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + this.#size - this.#bytes);
      at += part.length;
      this.#parts.push(part);
      this.#bytes += part.length;
      if (this.#bytes === this.#size) yield this.rest();
    }
  }

  /** What is left; nothing is then. */
  rest(): Uint8Array {
    const [first] = this.#parts;
    const all = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts, this.#bytes);
    this.#parts = [];
    this.#bytes = 0;
    return all;
  }
}
