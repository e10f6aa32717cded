/** One writer per key. Order of locks: sandbox before container; no lock is held while waiting for a user's process. */
export class KeyedMutex<K> {
  readonly #tails = new Map<K, Promise<void>>();

  async run<T>(key: K, critical: () => Promise<T>): Promise<T> {
    const turn = (this.#tails.get(key) ?? Promise.resolve()).then(critical);
    const tail = turn.then(ignore, ignore);
    this.#tails.set(key, tail);
    try {
      return await turn;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}

function ignore(): void {
  // The outcome is the caller's; the next in line only waits for the end.
}
