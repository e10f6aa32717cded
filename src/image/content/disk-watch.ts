/** Whether the store's disk answers: whoever works on it is told when it does not, for nobody can end what hangs there. */
import { rm, writeFile } from "node:fs/promises";
import { monotonicMs } from "../../base/clock.js";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { anyOf } from "../../base/signals.js";

/** A look begins so many times within the limit, so that a disk that dies is known within it. */
const looksPerLimit = 4;

export class DiskWatch {
  readonly #path: string;
  readonly #limitMs: number;
  readonly #users = new Set<AbortController>();
  #timer: NodeJS.Timeout | undefined;
  /** Since when the look that is under way is. */
  #lookingSinceMs: number | undefined;

  /** `path`: a file that is written and removed, on that disk. `limitMs`: how long it may give no sign of life. */
  constructor(path: string, limitMs: number) {
    this.#path = path;
    this.#limitMs = limitMs;
  }

  /** Runs work on the disk, whose signal is aborted when the disk has not answered for the limit. */
  async during<T>(caller: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const silent = this.#silence();
    if (silent !== undefined) throw silent;
    const dead = new AbortController();
    this.#users.add(dead);
    this.#timer ??= setInterval(() => {
      this.#look();
    }, this.#limitMs / looksPerLimit).unref();
    try {
      return await work(anyOf(caller, dead.signal));
    } catch (thrown) {
      const reason: unknown = dead.signal.reason;
      if (!dead.signal.aborted || caller.aborted) throw thrown;
      throw new RuntimeError(codeOf(reason), `${messageOf(reason)}; ${messageOf(thrown)}`, { cause: thrown });
    } finally {
      this.#users.delete(dead);
      if (this.#users.size === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    }
  }

  #look(): void {
    const silent = this.#silence();
    if (silent !== undefined) for (const user of this.#users) user.abort(silent);
    if (this.#lookingSinceMs !== undefined) return;
    this.#lookingSinceMs = monotonicMs();
    const end = (): void => {
      this.#lookingSinceMs = undefined;
    };
    // One that is full, or read-only, answers too.
    onItsOwn(() => writeFile(this.#path, "").then(() => rm(this.#path, { force: true }))).then(end, end);
  }

  /** What to say of a disk whose answer is overdue. */
  #silence(): RuntimeError | undefined {
    if (this.#lookingSinceMs === undefined) return undefined;
    const ms = Math.round(monotonicMs() - this.#lookingSinceMs);
    if (ms < this.#limitMs * (1 - 1 / looksPerLimit)) return undefined;
    return new RuntimeError("deadlineExceeded", `the image store's disk has not answered for ${ms} ms`, {
      hint: "see whether the disk below `root` is well",
    });
  }
}
