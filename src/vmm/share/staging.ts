import { randomBytes } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { BoxDirectory } from "../box-directory.js";
import type { SharedPath } from "../box.js";
import type { Share } from "./share.js";

/** Its file server's root may be nobody to the file (`GuestShare`). The Box's directory is closed to everybody else. */
const readableMode = 0o644;

/** Each has as much memory of the host as a staging file has bytes. */
const mostAtOnce = 4;

/** A Box's. */
export class Stagings {
  readonly #directory: BoxDirectory;
  readonly #share: Share;
  #open = 0;

  constructor(directory: BoxDirectory, share: Share) {
    this.#directory = directory;
    this.#share = share;
  }

  /** Undefined where there can be none now: for want of a place, or because the share takes none, which is logged. */
  async open(bytes: number, log: Logger): Promise<Staging | undefined> {
    if (this.#open >= mostAtOnce) return undefined;
    this.#open += 1;
    const closed = (): void => {
      this.#open -= 1;
    };
    try {
      return await Staging.open({ directory: this.#directory, share: this.#share, closed, log }, bytes);
    } catch (thrown) {
      closed();
      log.warn({ err: messageOf(thrown) }, "an upload is not staged in the share: it goes through the agent's channel");
      return undefined;
    }
  }
}

interface StagingParts {
  readonly directory: BoxDirectory;
  readonly share: Share;
  readonly closed: () => void;
  readonly log: Logger;
}

/**
 * A file that this process writes and a guest may read: parts of an upload, in place of the agent's channel, which moves
 * 4 KiB at a time (docs/adr/0145). The guest can't change it, and it has no name on the host.
 */
export class Staging implements AsyncDisposable {
  readonly #parts: StagingParts;
  readonly #file: FileHandle;
  readonly #place: SharedPath;

  private constructor(parts: StagingParts, file: FileHandle, place: SharedPath) {
    this.#parts = parts;
    this.#file = file;
    this.#place = place;
  }

  /** Of so many bytes, from the first: a guest that knows a file's size does not ask again. */
  static async open(parts: StagingParts, bytes: number): Promise<Staging> {
    const path = join(parts.directory.path, `staging-${randomBytes(8).toString("hex")}`);
    const file = await open(path, "wx", readableMode);
    try {
      await file.chmod(readableMode);
      await file.truncate(bytes);
      const how = { readonly: true, recursive: false, without: [] };
      return new Staging(parts, file, await parts.share.bind("staging", path, how));
    } catch (thrown) {
      await file.close();
      throw thrown;
    } finally {
      await rm(path);
    }
  }

  /** As the agent sees it. */
  get guestPath(): string {
    return this.#place.guestPath;
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < data.length;) {
      const { bytesWritten } = await this.#file.write(data, at, data.length - at, offset + at);
      at += bytesWritten;
    }
  }

  /** Its memory is free from then on, whatever the guest holds of it. Throws nothing: the upload is what it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { share, log, closed } = this.#parts;
    try {
      await this.#file.truncate(0);
      await this.#file.close();
      await share.remove(this.#place.hostPath);
    } catch (thrown) {
      log.warn({ err: messageOf(thrown) }, "the place of a staged upload was not taken back: it ends with the Box");
    } finally {
      closed();
    }
  }
}
