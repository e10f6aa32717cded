/** The beginning and the end of what a program has written: a model has no use for the middle of a megabyte. */
export class BoundedOutput {
  readonly #half: number;
  readonly #head: Uint8Array[] = [];
  #headSize = 0;
  #tail: Buffer = Buffer.alloc(0);
  #total = 0;

  /** `mostBytes` of text are kept, half of them from the beginning. */
  constructor(mostBytes: number) {
    this.#half = Math.floor(mostBytes / 2);
  }

  add(data: Uint8Array): void {
    this.#total += data.length;
    const fits = data.subarray(0, this.#half - this.#headSize);
    if (fits.length > 0) {
      this.#head.push(Uint8Array.prototype.slice.call(fits));
      this.#headSize += fits.length;
    }
    const rest = data.subarray(fits.length);
    if (rest.length === 0) return;
    const joined = Buffer.concat([this.#tail, rest.subarray(Math.max(0, rest.length - this.#half))]);
    this.#tail = joined.subarray(Math.max(0, joined.length - this.#half));
  }

  /** Bytes that went by unseen are in neither half. */
  lose(bytes: number): void {
    this.#total += bytes;
  }

  get truncated(): boolean {
    return this.#total > this.#headSize + this.#tail.length;
  }

  /** With a line in place of what is left out. */
  text(): string {
    const head = Buffer.concat(this.#head).toString();
    if (!this.truncated) return head + this.#tail.toString();
    const left = this.#total - this.#headSize - this.#tail.length;
    return `${head}\n[… ${String(left)} bytes left out …]\n${this.#tail.toString()}`;
  }
}
