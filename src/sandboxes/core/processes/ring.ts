import { constants } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { messageOf } from "../../../base/errors.js";
import type { Logger } from "../../../base/log.js";
import { encodeFrame, type Frame } from "./frame.js";
import { findSegments, segmentPath, type Segment } from "./segment.js";

/** How much of a process's output is kept: on disk, with 24 bytes for each piece that came from the agent. */
export const defaultRingBytes = 16 * 1024 * 1024;
/** Room is made by dropping the oldest of some so many files: the rest is kept. */
const segmentCount = 8;

/** What a reader that has come to the end is woken with: the frame that has just been written, and where. */
export interface Live {
  readonly frame: Frame;
  readonly index: number;
  /** In the file, behind it. */
  readonly at: number;
}

/**
 * The output of one process in files, bounded: the oldest goes when there is no room. Nothing is synced: a kill of the
 * daemon loses no write that has returned, and with the machine the Box goes too. One writer; any number of readers, which
 * hold nothing up (`readOutput`).
 *
 * A disk that takes no more costs output, and never the process its turn: the oldest files go first, and where that does
 * not help what has come counts as lost.
 */
export class OutputRing {
  readonly #directory: string;
  readonly #ringBytes: number;
  readonly #log: Logger;
  readonly #segments: Segment[];
  readonly #waiting = new Set<(live: Live | undefined) => void>();
  #newestIndex: number;
  #sequence: bigint;
  #end: number;
  #file: FileHandle | undefined;
  #isFull = false;

  private constructor(
    directory: string,
    ringBytes: number,
    log: Logger,
    found: { readonly segments: Segment[]; readonly sequence: bigint; readonly end: number },
  ) {
    this.#directory = directory;
    this.#ringBytes = ringBytes;
    this.#log = log;
    this.#segments = found.segments;
    this.#newestIndex = found.segments.at(-1)?.index ?? 0;
    this.#sequence = found.sequence;
    this.#end = found.end;
  }

  /** Of a process that has written nothing yet. Touches no disk. */
  static empty(directory: string, ringBytes: number, log: Logger): OutputRing {
    return new OutputRing(directory, ringBytes, log, { segments: [], sequence: 0n, end: 0 });
  }

  static async open(directory: string, ringBytes: number, log: Logger): Promise<OutputRing> {
    return new OutputRing(directory, ringBytes, log, await findSegments(directory));
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Of the last chunk that needs not come again; 0: none has come. */
  get sequence(): bigint {
    return this.#sequence;
  }

  /** So much has the process written, as far as it is known. */
  get end(): number {
    return this.#end;
  }

  /** Of the files. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Readers that wait for more. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** One after another. Never rejects: what can't be written is lost, and counted. */
  async append(stream: Frame["stream"], sequence: bigint, data: Uint8Array): Promise<void> {
    const frame = { stream, sequence, offset: this.#end, data };
    const segment = data.length === 0 ? undefined : await this.#write(frame);
    this.#sequence = sequence;
    this.#end += data.length;
    this.wake(segment === undefined ? undefined : { frame, index: segment.index, at: segment.bytes });
  }

  /** Resolves at the next append, when it is woken, and when the signal aborts. */
  async changed(signal: AbortSignal): Promise<Live | undefined> {
    return await new Promise((resolve) => {
      const wake = (live: Live | undefined): void => {
        signal.removeEventListener("abort", leave);
        resolve(live);
      };
      const leave = (): void => {
        this.#waiting.delete(wake);
        resolve(undefined);
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** Readers that wait look again. */
  wake(live?: Live): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve(live);
  }

  /** No more is appended. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** The segment that it is in; undefined where there is no room for it anywhere. */
  async #write(frame: Frame): Promise<Segment | undefined> {
    const bytes = encodeFrame(frame);
    for (;;) {
      try {
        const { segment, file } = await this.#segmentFor(bytes.length, frame.offset);
        await writeAt(file, bytes, segment.bytes);
        segment.bytes += bytes.length;
        if (this.#isFull) this.#log.warn({ output: this.#directory }, "output of a process can be written again");
        this.#isFull = false;
        return segment;
      } catch (thrown) {
        if (!this.#isFull) {
          this.#log.warn({ output: this.#directory, err: messageOf(thrown) }, "output of a process is dropped");
        }
        this.#isFull = true;
        if (this.#segments.length === 0) return undefined;
        await this.#dropOldest();
      }
    }
  }

  async #segmentFor(length: number, offset: number): Promise<{ readonly segment: Segment; readonly file: FileHandle }> {
    const newest = this.#segments.at(-1);
    if (newest !== undefined && newest.bytes < this.#ringBytes / segmentCount) {
      await this.#makeRoom(length);
      this.#file ??= await open(newest.path, constants.O_RDWR | constants.O_NOFOLLOW);
      return { segment: newest, file: this.#file };
    }
    await this.close();
    const index = (this.#newestIndex += 1);
    const path = segmentPath(this.#directory, index);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    this.#file = file;
    const segment = { index, path, offset, bytes: 0 };
    this.#segments.push(segment);
    await this.#makeRoom(length);
    return { segment, file };
  }

  /** For so much more in the newest. */
  async #makeRoom(length: number): Promise<void> {
    while (this.#segments.length > 1 && this.bytes + length > this.#ringBytes) await this.#dropOldest();
  }

  async #dropOldest(): Promise<void> {
    const [oldest] = this.#segments.splice(0, 1);
    if (this.#segments.length === 0) await this.close();
    if (oldest !== undefined) await rm(oldest.path, { force: true }).catch(() => undefined);
  }
}

/** All of it or an error; what an error leaves behind is written over by the next, or cut off by the next daemon. */
async function writeAt(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, at + written);
    written += bytesWritten;
  }
}
