import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** JSON text with bigint members as `{"$bigint": "…"}`; a member that has that name itself gets one more "$". */
export function encodeRecord(record: unknown): string {
  return JSON.stringify(record, (_key, value: unknown) => {
    if (typeof value === "bigint") return { $bigint: value.toString() };
    return renamed(value, /^\$+bigint$/, (name) => `$${name}`);
  });
}

/** The inverse of `encodeRecord`. */
export function decodeRecord(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value === "object" && value !== null && "$bigint" in value && typeof value.$bigint === "string") {
      return BigInt(value.$bigint);
    }
    return renamed(value, /^\$\$+bigint$/, (name) => name.slice(1));
  }) as unknown;
}

/** Names are those of users too: of labels and annotations. */
function renamed(value: unknown, which: RegExp, rename: (name: string) => string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries: [string, unknown][] = Object.entries(value);
  if (!entries.some(([name]) => which.test(name))) return value;
  return Object.fromEntries(entries.map(([name, member]) => [which.test(name) ? rename(name) : name, member]));
}

/**
 * Writes a file so that a reader, now or after a power cut, sees the old content or the new and never a part:
 * temporary file in the same directory, fsync, rename, fsync of the directory. Mode 0600 unless told otherwise.
 * One writer per path at a time: the caller holds the lock.
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await using file = await open(temporary, "w", mode);
    await file.writeFile(content);
    await file.sync();
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

export async function writeRecord(path: string, record: unknown): Promise<void> {
  await writeFileAtomic(path, encodeRecord(record));
}

export async function readRecord(path: string): Promise<unknown> {
  return decodeRecord(await readFile(path, "utf8"));
}

/** Removes a record for good: unlink, fsync of the directory. Success when it is not there. */
export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, "r");
  await directory.sync();
}
