import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ZodType } from "zod";
import { messageOf } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { readRecord, removeRecord, writeRecord } from "../base/record-file.js";

/** How one kind of record is named and read. */
export interface RecordKind<T> {
  /** Folder below `records/`, also the word in log lines: "sandboxes". */
  readonly name: string;
  /** Reads every version that there has been, and gives the newest. */
  readonly schema: ZodType<T>;
  /** The file name's stem; a record whose file is named otherwise is unreadable. */
  readonly idOf: (record: T) => string;
}

/**
 * One folder of records, a JSON file each (`<id>.json`), written atomically (`base/record-file.ts`). What can't be read
 * is moved to the quarantine folder and named in the log: one bad record must not take a node down.
 */
export class RecordFolder<T> {
  readonly #folder: string;
  readonly #quarantine: string;
  readonly #kind: RecordKind<T>;
  readonly #log: Logger;

  private constructor(folder: string, quarantine: string, kind: RecordKind<T>, log: Logger) {
    this.#folder = folder;
    this.#quarantine = quarantine;
    this.#kind = kind;
    this.#log = log;
  }

  /** `root` is the daemon's root folder: records go to `records/<name>`, unreadable ones to `quarantine`. */
  static async open<T>(root: string, kind: RecordKind<T>, log: Logger): Promise<RecordFolder<T>> {
    const folder = join(root, "records", kind.name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new RecordFolder(folder, join(root, "quarantine"), kind, log);
  }

  /** Every readable record. Leftovers of interrupted writes are removed. */
  async load(): Promise<T[]> {
    const records: T[] = [];
    for (const file of await readdir(this.#folder)) {
      if (file.endsWith(".json.tmp")) await rm(join(this.#folder, file), { force: true });
      if (!file.endsWith(".json")) continue;
      try {
        const record = this.#kind.schema.parse(await readRecord(join(this.#folder, file)));
        if (`${this.#kind.idOf(record)}.json` !== file) throw new Error("the record is another's");
        records.push(record);
      } catch (thrown) {
        await this.#setAside(file, messageOf(thrown));
      }
    }
    return records;
  }

  /** One writer per record at a time: the caller holds the lock. */
  async write(record: T): Promise<void> {
    await writeRecord(this.#pathOf(this.#kind.idOf(record)), record);
  }

  /** Success when there is none. */
  async remove(id: string): Promise<void> {
    await removeRecord(this.#pathOf(id));
  }

  #pathOf(id: string): string {
    return join(this.#folder, `${id}.json`);
  }

  async #setAside(file: string, reason: string): Promise<void> {
    const target = join(this.#quarantine, `${this.#kind.name}-${String(Date.now())}-${file}`);
    this.#log.error({ record: join(this.#kind.name, file), quarantine: target, reason }, "record set aside");
    try {
      await mkdir(this.#quarantine, { recursive: true, mode: 0o700 });
      await rename(join(this.#folder, file), target);
    } catch (thrown) {
      this.#log.error({ record: file, err: messageOf(thrown) }, "record could not be set aside; left where it is");
    }
  }
}
