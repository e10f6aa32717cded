/** Sweeps of an open store: what nothing reaches is out of it at once, and off the disk behind the answer. */
import { codeOf, messageOf } from "../../base/errors.js";
import { neverAborted } from "../../base/signals.js";
import { sweep, type SweepParts } from "../gc/sweep.js";
import { Trash } from "../gc/trash.js";

/** Runs work on the store's disk, with an end for a disk that does not answer. */
export type OnDisk = <T>(what: string, caller: AbortSignal, work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

export class Sweeps {
  readonly trash: Trash;
  readonly #parts: SweepParts;
  readonly #onDisk: OnDisk;
  /** What the last one should have taken is still there: a removal that is repeated takes it. */
  #owed = false;

  /** `emptied` is told when the disk may have more space. */
  constructor(parts: SweepParts, onDisk: OnDisk, emptied: () => void) {
    this.#parts = parts;
    this.#onDisk = onDisk;
    this.trash = new Trash(parts, emptied);
  }

  get isOwed(): boolean {
    return this.#owed;
  }

  /** True: what it takes is out of the store, and goes off the disk after it. */
  async begin(caller: AbortSignal): Promise<boolean> {
    try {
      await this.#onDisk("sweep the store", caller, (signal) => sweep(this.#parts, signal));
      this.#owed = false;
    } catch (thrown) {
      this.#owed = true;
      this.#parts.log.warn({ err: messageOf(thrown) }, "image store not swept; the next removal or start tries again");
      if (caller.aborted || codeOf(thrown) === "deadlineExceeded") return false;
    }
    this.trash.begin();
    return true;
  }

  /** As `begin`; when it resolves the disk has what the sweep took, where `isWanted` says that somebody waits for that. */
  async run(caller = neverAborted, isWanted = (): Promise<boolean> => Promise.resolve(true)): Promise<void> {
    if (!(await this.begin(caller))) return;
    try {
      await this.#onDisk("take what was removed off the disk", caller, async (signal) => {
        if (await isWanted()) await this.trash.gone(signal);
      });
    } catch (thrown) {
      this.#parts.log.warn({ err: messageOf(thrown) }, "what was removed from the image store is still on the disk");
    }
  }
}
