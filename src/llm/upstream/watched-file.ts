/** A file whose text is read again when it has changed: a Secret's, which kubelet swaps, and which may come late. */
import { open } from "node:fs/promises";
import { monotonicMs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";

/** It is looked at again after that. */
const freshMs = 1000;
const mostBytes = 1_048_576;

export class WatchedFile {
  readonly #path: string;
  readonly #log: Logger;
  #text: string | undefined;
  /** Of file system, inode, size and time: as it was read. */
  #version = "";
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Undefined: it can't be read now. `now`: whether or not it was looked at just before. */
  async text(now = false): Promise<string | undefined> {
    if (now || monotonicMs() - this.#lookedAtMs >= freshMs) {
      this.#looking ??= this.#look().finally(() => {
        this.#lookedAtMs = monotonicMs();
        this.#looking = undefined;
      });
      await this.#looking;
    }
    return this.#text;
  }

  async #look(): Promise<void> {
    try {
      await using file = await open(this.#path, "r");
      const { dev, ino, size, mtimeMs, ctimeMs } = await file.stat();
      const version = [dev, ino, size, mtimeMs, ctimeMs].join(" ");
      if (version === this.#version) return;
      if (size > mostBytes) throw new Error(`it has more than ${String(mostBytes)} bytes`);
      this.#text = await file.readFile("utf8");
      this.#version = version;
    } catch (thrown) {
      // The text of an error of the file system has its path, and nothing of what is in it.
      if (this.#version !== "unreadable") {
        this.#log.warn({ file: this.#path, err: messageOf(thrown) }, "can't read a file of a model's provider");
      }
      this.#text = undefined;
      this.#version = "unreadable";
    }
  }
}
