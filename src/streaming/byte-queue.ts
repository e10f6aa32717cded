/**
 * What a part costs beside its bytes, about: a peer that sends byte by byte fills memory with what is around them, and the
 * reader's time with what is done for each part.
 */
const partCostBytes = 256;

/**
 * Bytes between one writer and one reader, in order and bounded. The writer's `push` waits while more than the limit is
 * unread: that is how a slow reader slows the peer, and memory stays flat.
 */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #limitBytes: number;
  readonly #parts: Uint8Array[] = [];
  #unreadCost = 0;
  #ended = false;
  #changed: Promise<void>;
  #wake: () => void = () => undefined;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#changed = this.#nextChange();
  }

  get isFull(): boolean {
    return this.#unreadCost > this.#limitBytes && !this.#ended;
  }

  /** Takes the bytes at once and resolves when there is room for more. After the end they are dropped. */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.#ended || bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#unreadCost += bytes.length + partCostBytes;
    this.#notify();
    while (this.isFull) await this.#changed;
  }

  /** Nothing more comes; what is there is still read. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Nobody reads any more: what is there and what comes is dropped. */
  discard(): void {
    this.#parts.length = 0;
    this.#unreadCost = 0;
    this.end();
  }

  /** Leaving the loop discards the rest. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        const part = this.#parts.shift();
        if (part !== undefined) {
          this.#unreadCost -= part.length + partCostBytes;
          this.#notify();
          yield part;
        } else if (this.#ended) return;
        else await this.#changed;
      }
    } finally {
      this.discard();
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#changed = this.#nextChange();
    wake();
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
