/** The smallest and the largest room that is made at a time. */
const leastRoom = 4096;
const mostRoom = 1024 * 1024;

/**
 * Bytes that come in pieces, held in about as much memory as they are. A piece is copied: one of a single byte would be a
 * Buffer of a hundred bytes, and would keep all that was read with it.
 */
export class HeldBytes {
  readonly #full: Buffer[] = [];
  #last: Buffer = Buffer.alloc(0);
  /** Of the last. */
  #used = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      if (this.#used === this.#last.length) this.#makeRoom(piece.length - at);
      const part = piece.subarray(at, at + this.#last.length - this.#used);
      this.#last.set(part, this.#used);
      this.#used += part.length;
      this.#length += part.length;
      at += part.length;
    }
  }

  /** What was added so far, in one piece. */
  all(): Buffer {
    const last = this.#last.subarray(0, this.#used);
    return this.#full.length === 0 ? last : Buffer.concat([...this.#full, last], this.#length);
  }

  /** As much again as there is, so that few pieces of room hold many bytes. */
  #makeRoom(wanted: number): void {
    if (this.#used > 0) this.#full.push(this.#last);
    this.#last = Buffer.allocUnsafeSlow(Math.max(wanted, leastRoom, Math.min(this.#length, mostRoom)));
    this.#used = 0;
  }
}
