/** What was moved aside goes off the disk behind the answers of those who wanted it gone (docs/adr/0137). */
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../base/errors.js";
import { NextLook } from "../../base/next-look.js";
import { orAborted } from "../../base/or-aborted.js";
import { keepReserve } from "../content/reserve.js";
import { emptyTrash, type SweepParts } from "./sweep.js";

/** When what could not be removed is tried again; then the next removal or start tries. */
const retryMs = [250, 5_000, 60_000] as const;
const closeWaitMs = 3_000;

export class Trash {
  readonly #parts: Pick<SweepParts, "directory" | "native" | "log">;
  readonly #emptied: () => void;
  readonly #closing = new AbortController();
  /** One at a time, so that it takes one thread, also of a disk that is dead. */
  readonly #look = new NextLook(() => this.#empty());
  readonly #underWay = new Set<Promise<void>>();
  #retry: NodeJS.Timeout | undefined;
  #retries = 0;
  #isClosing = false;

  /** `emptied` is told each time that some of it may have gone. */
  constructor(parts: Pick<SweepParts, "directory" | "native" | "log">, emptied: () => void) {
    this.#parts = parts;
    this.#emptied = emptied;
  }

  isBusy(): boolean {
    return this.#underWay.size > 0;
  }

  /** Takes what is there now off the disk, at some time. */
  begin(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const work = this.#once();
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  /** Resolves when what was there has gone, or could not be removed. */
  async gone(signal: AbortSignal): Promise<void> {
    await orAborted(Promise.all(this.#underWay), signal);
  }

  /** What is left then is taken by the next process that opens the store. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#retry);
    const waited = new AbortController();
    await Promise.race([Promise.all(this.#underWay), delay(closeWaitMs, undefined, waited).catch(() => undefined)]);
    waited.abort();
    this.#closing.abort();
  }

  async #once(): Promise<void> {
    const whole = await this.#look.ask();
    this.#emptied();
    if (whole) this.#retries = 0;
    else this.#later();
  }

  async #empty(): Promise<boolean> {
    try {
      const whole = await emptyTrash(this.#parts, this.#closing.signal);
      await keepReserve(this.#parts.directory);
      return whole;
    } catch (thrown) {
      this.#parts.log.warn({ err: messageOf(thrown) }, "trash of the image store can't be looked at");
      return false;
    }
  }

  /** Several that failed side by side are tried again together. */
  #later(): void {
    const waitMs = retryMs[this.#retries];
    if (waitMs === undefined || this.#retry !== undefined || this.#isClosing) return;
    this.#retries += 1;
    this.#retry = setTimeout(() => {
      this.begin();
    }, waitMs).unref();
  }
}
