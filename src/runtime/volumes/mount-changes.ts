import { setTimeout as delay } from "node:timers/promises";
import type { MountWatch, Native } from "../../native/addon.js";

/** Before the next look: a node on which pods come and go changes its mounts all the time, and a look reads all of them. */
const pauseMs = 250;

/**
 * Looks at once when mounts of the host have changed, one look at a time and at most four a second: what changes meanwhile
 * is seen by the next. Nothing runs while nothing changes.
 */
export class MountChanges {
  readonly #watch: MountWatch;
  readonly #closed = new AbortController();
  readonly #look: () => Promise<void>;
  #round: Promise<void> | undefined;
  #wanted = false;

  /** `look` never rejects. Throws where no watch can be had. */
  constructor(native: Native, look: () => Promise<void>) {
    this.#watch = native.watchMounts();
    this.#look = look;
    void this.#follow();
  }

  /** Though nothing has changed; resolves when that has been done, and the pause after it. */
  async lookAgain(): Promise<void> {
    this.#wanted = true;
    this.#round ??= this.#looks().finally(() => {
      this.#round = undefined;
    });
    await this.#round;
  }

  close(): void {
    this.#closed.abort();
    this.#watch.close();
  }

  /** The kernel is not asked again before the pause is over: a storm does not wake this process. */
  async #follow(): Promise<void> {
    while (await this.#watch.next()) await this.lookAgain();
  }

  async #looks(): Promise<void> {
    const { signal } = this.#closed;
    while (this.#wanted && !signal.aborted) {
      this.#wanted = false;
      await this.#look();
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
