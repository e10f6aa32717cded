import { constants } from "node:fs";
import { mkdir, open, readdir, rename, stat, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { diskLanes } from "./disk-lanes.js";
import { parseStamp } from "./log-format.js";

/** O_NONBLOCK: opening a FIFO that lies there must not wait for a reader. */
const openFlags =
  constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const logMode = 0o640;
/** Waits before a failed write is tried again; after the last the lines are dropped: a full disk must not stop a program. */
const retryDelaysMs = [50, 250, 1000];
const tailBytes = 64 * 1024;

/**
 * A container's log file. Operations run one after another, in the order of the calls. Lines are appended whole: what a
 * failed write left of them is cut off again. A disk that hangs holds up its own logs alone (`diskLanes`).
 */
export class LogFile {
  readonly path: string;
  readonly #log: Logger;
  #file: FileHandle;
  #device: number;
  #turn: Promise<void> = Promise.resolve();
  #droppedBytes = 0;
  readonly #mostBytes: number;
  #bytes: number;

  private constructor(path: string, { file, device, bytes }: OpenedLog, log: Logger, mostBytes: number) {
    this.path = path;
    this.#file = file;
    this.#device = device;
    this.#bytes = bytes;
    this.#log = log;
    this.#mostBytes = mostBytes;
  }

  /**
   * Opens or creates the file, and its directories where they are missing. The last component is never followed as a link.
   * `mostBytes`: of the file and the one before it, where nobody else rotates them.
   */
  static async open(
    path: string,
    log: Logger,
    signal = neverAborted,
    mostBytes = Number.POSITIVE_INFINITY,
  ): Promise<LogFile> {
    return new LogFile(path, await openLog(path, signal), log, mostBytes);
  }

  /** Resolves when the lines are written, or given up with a warning. Never rejects. */
  async append(lines: Buffer): Promise<void> {
    if (lines.length === 0) return;
    await this.#next(() => this.#appendNow(lines));
  }

  /** The path's file is there, and this log's, when it resolves; nothing more goes to the old one. */
  async reopen(): Promise<void> {
    await this.#next(() => this.#reopenNow());
  }

  async close(): Promise<void> {
    await this.#next(() => this.#onDisk(() => this.#file.close()));
  }

  /**
   * Time of the last line, for resuming; 0n when there is none. A torn last line is cut off. After a rotation the last
   * line stands in the newest of the renamed files.
   */
  async lastStamp(): Promise<bigint> {
    let stamp = 0n;
    await this.#next(async () => {
      stamp = await this.#onDisk(async () => {
        return (await lastStampOf(this.#file, true)) ?? (await lastStampOfRotated(this.path)) ?? 0n;
      });
    });
    return stamp;
  }

  async #next(run: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(run);
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  /** Lines are to be written at last: a call that was given up is waited for as any other. */
  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    return await diskLanes.runWhenFree(this.#device, neverAborted, work);
  }

  async #reopenNow(): Promise<void> {
    const { file, device, bytes } = await openLog(this.path, neverAborted);
    const [old, oldDevice] = [this.#file, this.#device];
    this.#file = file;
    this.#device = device;
    this.#bytes = bytes;
    await diskLanes.runWhenFree(oldDevice, neverAborted, () => old.close());
  }

  /** The file becomes the one before it, under a name as kubelet's rotation gives it; the one before that goes. */
  async #rotate(): Promise<void> {
    try {
      await this.#onDisk(async () => {
        for (const name of await rotatedOf(this.path)) await unlink(join(dirname(this.path), name));
        await rename(this.path, `${this.path}.${rotationStamp(new Date())}`);
      });
      await this.#reopenNow();
    } catch (thrown) {
      this.#bytes = 0; // tried again when as much has come once more
      this.#log.warn({ path: this.path, err: messageOf(thrown) }, "log could not be rotated");
    }
  }

  async #appendNow(lines: Buffer): Promise<void> {
    const delaysMs = this.#droppedBytes > 0 ? [] : retryDelaysMs;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#onDisk(() => writeWhole(this.#file, lines));
        this.#recovered();
        this.#bytes += lines.length;
        if (this.#bytes > this.#mostBytes / 2) await this.#rotate();
        return;
      } catch (thrown) {
        const waitMs = delaysMs[attempt];
        if (waitMs === undefined) {
          this.#dropped(lines.length, thrown);
          return;
        }
        await delay(waitMs);
      }
    }
  }

  #dropped(bytes: number, thrown: unknown): void {
    if (this.#droppedBytes === 0) this.#log.warn({ path: this.path, err: messageOf(thrown) }, "log lines dropped");
    this.#droppedBytes += bytes;
  }

  #recovered(): void {
    if (this.#droppedBytes === 0) return;
    this.#log.warn({ path: this.path, droppedBytes: this.#droppedBytes }, "log can be written again");
    this.#droppedBytes = 0;
  }
}

/** "20260102-030405". */
function rotationStamp(time: Date): string {
  const digits = time.toISOString().replaceAll(/\D/g, "");
  return `${digits.slice(0, 8)}-${digits.slice(8, 14)}`;
}

interface OpenedLog {
  readonly file: FileHandle;
  readonly device: number;
  readonly bytes: number;
}

async function openLog(path: string, signal: AbortSignal): Promise<OpenedLog> {
  const openNow = async (): Promise<OpenedLog> => {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    let file: FileHandle;
    try {
      file = await open(path, openFlags, logMode);
    } catch (cause) {
      const hint = errnoOf(cause) === "ELOOP" ? "remove the symbolic link" : "check the pod's log_directory";
      throw new RuntimeError("internal", `can't open log ${path}: ${messageOf(cause)}`, { hint, cause });
    }
    const facts = await file.stat();
    if (facts.isFile()) return { file, device: facts.dev, bytes: facts.size };
    await file.close();
    throw new RuntimeError("invalidArgument", `log ${path} is not a regular file`, { hint: "remove it" });
  };
  return await diskLanes.runWhenFree(await deviceOf(dirname(path)), signal, openNow);
}

/** Of a directory, or of what is there of the way to it. */
async function deviceOf(directory: string): Promise<number> {
  try {
    return (await stat(directory)).dev;
  } catch (thrown) {
    if (!isNotFound(thrown) || directory === dirname(directory)) return 0; // to make it will say what is wrong
    return await deviceOf(dirname(directory));
  }
}

/** One write call where the system takes it whole; on failure nothing of the lines stays. */
async function writeWhole(file: FileHandle, lines: Buffer): Promise<void> {
  let written = 0;
  try {
    while (written < lines.length) {
      written += (await file.write(lines, written, lines.length - written)).bytesWritten;
    }
  } catch (thrown) {
    if (written > 0) await file.truncate((await file.stat()).size - written);
    throw thrown;
  }
}

async function lastStampOf(file: FileHandle, cutTorn: boolean): Promise<bigint | undefined> {
  const { size } = await file.stat();
  const start = Math.max(0, size - tailBytes);
  const tail = Buffer.alloc(size - start);
  await file.read(tail, 0, tail.length, start);
  const end = tail.lastIndexOf(0x0a);
  if (cutTorn && end !== tail.length - 1) await file.truncate(start + end + 1);
  if (end === -1) return undefined;
  const line = tail.subarray(tail.lastIndexOf(0x0a, end - 1) + 1, end).toString("latin1");
  return end === 0 ? undefined : parseStamp(line.split(" ", 1)[0] ?? "");
}

/** kubelet renames `0.log` to `0.log.20260102-030405`; older ones are packed. Source: container_log_manager.go. */
async function lastStampOfRotated(path: string): Promise<bigint | undefined> {
  const newest = (await rotatedOf(path)).at(-1);
  if (newest === undefined) return undefined;
  try {
    await using file = await open(join(dirname(path), newest), constants.O_RDONLY | constants.O_NOFOLLOW);
    return await lastStampOf(file, false);
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

/** Names of the files that the path's has been before, the newest last. */
export async function rotatedOf(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const isOne = (name: string): boolean => name.startsWith(prefix) && /^\d{8}-\d{6}$/.test(name.slice(prefix.length));
  return (await readdir(dirname(path))).filter(isOne).sort();
}
