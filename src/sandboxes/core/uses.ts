import type { SandboxName } from "./sandbox.js";

interface Use {
  lastMs: number;
  open: number;
}

/** When each sandbox was last used, and how many uses of it go on: a stream that is open is one. */
export class Uses {
  readonly #of = new Map<SandboxName, Use>();
  readonly #ended: (id: SandboxName, atMs: number) => void;

  /** `ended` is called when a use has ended. */
  constructor(ended: (id: SandboxName, atMs: number) => void) {
    this.#ended = ended;
  }

  /** A use that is over at once. */
  touch(id: SandboxName): void {
    this.begin(id)();
  }

  /** What is given ends it; twice is once. */
  begin(id: SandboxName): () => void {
    const use = this.#of.get(id) ?? { lastMs: 0, open: 0 };
    this.#of.set(id, use);
    use.open += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      use.open -= 1;
      use.lastMs = Date.now();
      if (this.#of.get(id) === use) this.#ended(id, use.lastMs);
    };
  }

  /** `recordedMs`: the last use that an earlier daemon has written down. Undefined: it is used now. */
  lastMs(id: SandboxName, recordedMs: number): number | undefined {
    const use = this.#of.get(id);
    if (use === undefined) return recordedMs;
    return use.open > 0 ? undefined : Math.max(use.lastMs, recordedMs);
  }

  forget(id: SandboxName): void {
    this.#of.delete(id);
  }
}
