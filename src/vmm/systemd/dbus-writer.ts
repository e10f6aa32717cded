/** The wire format of D-Bus, little-endian, as far as calls to systemd need it (D-Bus specification, "Marshaling"). */

/** A value of a variant, with its type. */
export type Variant =
  | { readonly type: "s" | "o" | "g"; readonly value: string }
  | { readonly type: "b"; readonly value: boolean }
  | { readonly type: "u"; readonly value: number }
  | { readonly type: "t"; readonly value: bigint }
  | { readonly type: "au"; readonly value: readonly number[] };

export class DbusWriter {
  readonly #bytes: number[] = [];

  byte(value: number): void {
    this.#bytes.push(value & 0xff);
  }

  uint32(value: number): void {
    this.align(4);
    for (const shift of [0, 8, 16, 24]) this.byte(value >>> shift);
  }

  uint64(value: bigint): void {
    this.align(8);
    for (let shift = 0n; shift < 64n; shift += 8n) this.byte(Number((value >> shift) & 0xffn));
  }

  string(text: string): void {
    const bytes = Buffer.from(text);
    this.uint32(bytes.length);
    this.#bytes.push(...bytes, 0);
  }

  signature(text: string): void {
    this.byte(text.length);
    this.#bytes.push(...Buffer.from(text), 0);
  }

  /** Structures and dictionary entries begin at a multiple of 8. */
  struct(members: () => void): void {
    this.align(8);
    members();
  }

  /** `alignment` is that of its items; what it takes before the first of them does not count to the length. */
  array<T>(items: readonly T[], alignment: 4 | 8, write: (item: T) => void): void {
    this.uint32(0);
    const at = this.#bytes.length - 4;
    this.align(alignment);
    const begin = this.#bytes.length;
    for (const item of items) write(item);
    const length = this.#bytes.length - begin;
    for (const [index, shift] of [0, 8, 16, 24].entries()) this.#bytes[at + index] = (length >>> shift) & 0xff;
  }

  variant(of: Variant): void {
    this.signature(of.type);
    switch (of.type) {
      case "g":
        this.signature(of.value);
        break;
      case "b":
        this.uint32(of.value ? 1 : 0);
        break;
      case "u":
        this.uint32(of.value);
        break;
      case "t":
        this.uint64(of.value);
        break;
      case "au":
        this.array(of.value, 4, (one) => {
          this.uint32(one);
        });
        break;
      default:
        this.string(of.value);
    }
  }

  align(to: number): void {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0);
  }

  take(): Buffer {
    return Buffer.from(this.#bytes);
  }
}
