import { errnoOf, RuntimeError } from "../../base/errors.js";
import { Limiter } from "../../base/limiter.js";
import { anyOf, neverAborted } from "../../base/signals.js";
import { sleep } from "../../base/stage.js";
import type { DirectoryLock, Native } from "../../native/addon.js";

const waitMs = 10_000;
const pollMs = 15;

/**
 * The one writer of a store: a mutex within this process and an flock on the directory between processes (a daemon, and
 * `image import` beside it). Held for a few file operations, never while anything is downloaded, unpacked or removed.
 */
export class StoreLock {
  readonly #path: string;
  readonly #native: Native;
  readonly #mutex = new Limiter<"store">({ perKey: 1 });

  constructor(path: string, native: Native) {
    this.#path = path;
    this.#native = native;
  }

  async run<T>(critical: () => Promise<T>, signal = neverAborted): Promise<T> {
    return await this.#mutex.run("store", signal, () => this.#locked(critical, signal));
  }

  /** For what gives something back: it waits also for a writer that was given up. */
  async runWhenFree<T>(critical: () => Promise<T>): Promise<T> {
    return await this.#mutex.runWhenFree("store", neverAborted, () => this.#locked(critical, neverAborted));
  }

  async #locked<T>(critical: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const lock = await this.#lock(signal);
    try {
      return await critical();
    } finally {
      lock.close();
    }
  }

  async #lock(signal: AbortSignal): Promise<DirectoryLock> {
    const limit = anyOf(signal, AbortSignal.timeout(waitMs));
    while (!limit.aborted) {
      const lock = await tryLock(() => this.#native.lockDirectory(this.#path));
      if (lock !== null) return lock;
      await sleep(pollMs, limit).catch(() => undefined);
    }
    signal.throwIfAborted();
    throw new RuntimeError("unavailable", `another process has held the image store ${this.#path} for ${waitMs} ms`, {
      hint: "see which one with fuser, and end it",
    });
  }
}

/** Null when somebody holds it. */
export async function tryLock(lock: () => Promise<DirectoryLock>): Promise<DirectoryLock | null> {
  try {
    return await lock();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "EWOULDBLOCK" || errno === "EAGAIN") return null;
    throw thrown;
  }
}
