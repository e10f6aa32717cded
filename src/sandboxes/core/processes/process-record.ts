import { constants } from "node:fs";
import { mkdir, open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

const strings = z.record(z.string(), z.string()).readonly();

const wanted = z
  .object({
    args: z.array(z.string()).readonly(),
    env: strings,
    workingDir: z.string(),
    user: z.string(),
    terminal: z.object({ columns: z.int(), rows: z.int() }).readonly().exactOptional(),
    stdin: z.boolean(),
    tag: z.string(),
    startId: z.string().exactOptional(),
    limitMs: z.number(),
  })
  .readonly();

const exit = z
  .object({
    code: z.int(),
    signal: z.int(),
    atMs: z.number(),
    timedOut: z.boolean(),
    lost: z.string().exactOptional(),
  })
  .readonly();

/** What is known of a process, as it stands on disk: written before its exec is started, and when something has become of it. */
const schema = z
  .object({
    version: z.literal(1),
    number: z.int().min(1),
    /** By which the agent knows it. */
    execId: z.string(),
    wanted,
    startedAtMs: z.number(),
    /** Its time had passed, and it was to be killed. */
    limitPassed: z.literal(true).exactOptional(),
    exit: exit.exactOptional(),
  })
  .readonly();

export type ProcessRecord = z.infer<typeof schema>;

const fileName = "process.json";

/** Its directory comes to be with it. Not synced: nothing of a process outlives the machine. */
export async function writeFirstRecord(directory: string, record: ProcessRecord): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  await writeFile(join(directory, fileName), JSON.stringify(record), { mode: 0o600, flag: "wx" });
}

/** A daemon that is killed in it leaves the old one. One writer at a time. */
export async function writeRecord(directory: string, record: ProcessRecord): Promise<void> {
  const path = join(directory, fileName);
  await writeFile(`${path}.tmp`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

/** Throws for one that was being written when the daemon was killed: its exec was not started. */
export async function readRecord(directory: string): Promise<ProcessRecord> {
  return schema.parse(JSON.parse(await readFile(join(directory, fileName), "utf8")));
}

/**
 * How far the newest connection of any client has come in a process's output. Written behind its back, newest value only:
 * what a kill of the daemon loses of it is read again.
 */
export class SeenMark {
  readonly #path: string;
  #offset: number;
  #written: number;
  #writing: Promise<void> | undefined;

  private constructor(path: string, offset: number) {
    this.#path = path;
    this.#offset = offset;
    this.#written = offset;
  }

  static none(directory: string): SeenMark {
    return new SeenMark(join(directory, "seen"), 0);
  }

  static async read(directory: string): Promise<SeenMark> {
    const path = join(directory, "seen");
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    return new SeenMark(path, bytes.length === 8 ? Number(bytes.readBigUInt64LE()) : 0);
  }

  get offset(): number {
    return this.#offset;
  }

  set(offset: number): void {
    if (offset === this.#offset) return;
    this.#offset = offset;
    this.#writing ??= this.#write();
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Never rejects: with a disk that takes no more it is as with a daemon that was killed. */
  async #write(): Promise<void> {
    try {
      await using file = await open(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      while (this.#written !== this.#offset) {
        const offset = this.#offset;
        const bytes = Buffer.alloc(8);
        bytes.writeBigUInt64LE(BigInt(offset));
        await file.write(bytes, 0, bytes.length, 0);
        this.#written = offset;
      }
    } catch {
      this.#written = this.#offset;
    }
    this.#writing = this.#written === this.#offset ? undefined : this.#write();
  }
}
