import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ZodType } from "zod";
import { isNotFound, messageOf } from "../base/errors.js";
import { Limiter } from "../base/limiter.js";
import type { Logger } from "../base/log.js";
import { namesIn } from "../base/names-in.js";
import { readRecord, removeRecord, writeRecord } from "../base/record-file.js";
import { neverAborted } from "../base/signals.js";

/** A daemon's start waits for all of them; each has one file open. */
const readsAtOnce = 32;

/** How one kind of record is named and read. */
export interface RecordKind<T> {
  /** Directory below `records/`, also the word in log lines: "sandboxes". */
  readonly name: string;
  /** The newest version: the one that is written. */
  readonly version: number;
  readonly schema: ZodType<T>;
  /** Makes the newest version of a record of an earlier one; `schema` checks what it gives. Absent: there is only one. */
  readonly upgrade?: (raw: object, version: number) => unknown;
  /** The file name's stem; a record whose file is named otherwise is unreadable. */
  readonly idOf: (record: T) => string;
}

/** What a directory of records holds. */
export interface FoundRecords<T> {
  readonly records: readonly T[];
  readonly unreadable: readonly { readonly file: string; readonly reason: string }[];
}

/** Reads a directory of records and changes nothing in it, whoever else works there. None when it is not there. */
export async function readRecords<T>(root: string, kind: RecordKind<T>): Promise<FoundRecords<T>> {
  const directory = directoryOf(root, kind);
  const records: T[] = [];
  const unreadable: { file: string; reason: string }[] = [];
  const read = async (file: string): Promise<void> => {
    try {
      const raw = await readRecord(join(directory, file));
      const record = kind.schema.parse(upgraded(raw, kind));
      if (`${kind.idOf(record)}.json` !== file) throw new Error("the record is another's");
      records.push(record);
    } catch (thrown) {
      if (!isNotFound(thrown)) unreadable.push({ file, reason: messageOf(thrown) });
    }
  };
  const files = (await namesIn(directory)).filter((file) => file.endsWith(".json"));
  const turns = new Limiter<"read">({ inAll: readsAtOnce });
  await Promise.all(files.map((file) => turns.run("read", neverAborted, () => read(file))));
  return { records, unreadable };
}

/** An unknown version is a newer daemon's: to say so tells more than which members are amiss. */
function upgraded<T>(raw: unknown, { version: newest, upgrade }: RecordKind<T>): unknown {
  if (typeof raw !== "object" || raw === null || !("version" in raw) || raw.version === newest) return raw;
  const { version } = raw;
  if (upgrade !== undefined && typeof version === "number" && version < newest) return upgrade(raw, version);
  throw new Error(
    `version ${String(version)} is not one that this daemon knows (it knows ${newest} and earlier): a newer one wrote it, ` +
      "and a downgrade is not possible; put the newer one back, which can read it still, and move the file back for it",
  );
}

function directoryOf(root: string, { name }: { readonly name: string }): string {
  return join(root, "records", name);
}

/**
 * One directory of records, a JSON file each (`<id>.json`), written atomically (`base/record-file.ts`). What can't be read
 * is moved to the quarantine directory and named in the log: one bad record must not take a node down.
 */
export class RecordDirectory<T> {
  readonly #root: string;
  readonly #directory: string;
  readonly #kind: RecordKind<T>;
  readonly #log: Logger;

  private constructor(root: string, kind: RecordKind<T>, log: Logger) {
    this.#root = root;
    this.#directory = directoryOf(root, kind);
    this.#kind = kind;
    this.#log = log;
  }

  /** `root` is the daemon's root directory: records go to `records/<name>`, unreadable ones to `quarantine`. */
  static async open<T>(root: string, kind: RecordKind<T>, log: Logger): Promise<RecordDirectory<T>> {
    await mkdir(directoryOf(root, kind), { recursive: true, mode: 0o700 });
    return new RecordDirectory(root, kind, log);
  }

  /** Every readable record. Leftovers of interrupted writes are removed. */
  async load(): Promise<T[]> {
    for (const file of await readdir(this.#directory)) {
      if (file.endsWith(".json.tmp")) await rm(join(this.#directory, file), { force: true });
    }
    const { records, unreadable } = await readRecords(this.#root, this.#kind);
    for (const { file, reason } of unreadable) await this.#setAside(file, reason);
    return [...records];
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
    return join(this.#directory, `${id}.json`);
  }

  async #setAside(file: string, reason: string): Promise<void> {
    const quarantine = join(this.#root, "quarantine");
    const target = join(quarantine, `${this.#kind.name}-${String(Date.now())}-${file}`);
    this.#log.error({ record: join(this.#kind.name, file), quarantine: target, reason }, "record set aside");
    try {
      await mkdir(quarantine, { recursive: true, mode: 0o700 });
      await rename(join(this.#directory, file), target);
    } catch (thrown) {
      this.#log.error({ record: file, err: messageOf(thrown) }, "record could not be set aside; left where it is");
    }
  }
}
