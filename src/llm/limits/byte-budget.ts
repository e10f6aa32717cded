/** Bytes that are held for others: so many for each of them, and in all. */
export class ByteBudget {
  readonly #perKey: number;
  readonly #inAll: number;
  readonly #byKey = new Map<string, number>();
  #taken = 0;

  constructor(perKey: number, inAll: number) {
    this.#perKey = perKey;
    this.#inAll = inAll;
  }

  /** False: there is no room, and nothing was taken. */
  take(key: string, bytes: number): boolean {
    const own = (this.#byKey.get(key) ?? 0) + bytes;
    if (own > this.#perKey || this.#taken + bytes > this.#inAll) return false;
    this.#byKey.set(key, own);
    this.#taken += bytes;
    return true;
  }

  giveBack(key: string, bytes: number): void {
    const left = (this.#byKey.get(key) ?? 0) - bytes;
    if (left > 0) this.#byKey.set(key, left);
    else this.#byKey.delete(key);
    this.#taken -= bytes;
  }
}
