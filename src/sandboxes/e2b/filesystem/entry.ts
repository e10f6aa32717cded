/** A file, as E2B's clients are told of it. */
import { RuntimeError } from "../../../base/errors.js";
import type { FileEntry, FileScope, Files } from "../../core/file.js";
import { metadataOf } from "../metadata.js";

/** Of the links of one list, so many are followed to say what they lead to. */
export const mostFollowed = 256;

const typeNames = {
  file: "FILE_TYPE_FILE",
  directory: "FILE_TYPE_DIRECTORY",
  link: "FILE_TYPE_SYMLINK",
  other: "FILE_TYPE_UNSPECIFIED",
} as const;

export interface EntryInfo {
  readonly name: string;
  readonly type: string;
  readonly path: string;
  readonly size: string;
  readonly mode: number;
  readonly permissions: string;
  readonly owner: string;
  readonly group: string;
  readonly modifiedTime: string;
  readonly symlinkTarget?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A link is told of as what it leads to, with where that is; one that leads nowhere as a link. */
export async function entryInfo(
  entry: FileEntry,
  files: Files,
  scope: FileScope,
  signal: AbortSignal,
): Promise<EntryInfo> {
  if (entry.kind !== "link") return infoOf(entry, entry);
  try {
    const target = await files.stat(entry.path, scope, true, signal);
    return { ...infoOf(entry, target), symlinkTarget: target.path === entry.path ? (entry.target ?? "") : target.path };
  } catch (thrown) {
    if (signal.aborted || !(thrown instanceof RuntimeError)) throw thrown;
    return plainInfo(entry);
  }
}

export function plainInfo(entry: FileEntry): EntryInfo {
  return { ...infoOf(entry, entry), ...(entry.target === undefined ? {} : { symlinkTarget: entry.target }) };
}

function infoOf(entry: FileEntry, target: FileEntry): EntryInfo {
  const metadata = metadataOf(target.attributes);
  return {
    name: entry.name,
    type: typeNames[target.kind],
    path: entry.path,
    size: String(entry.sizeBytes),
    mode: target.mode & 0o777,
    permissions: permissionsOf(entry),
    owner: entry.owner,
    group: entry.group,
    modifiedTime: timestamp(entry.modifiedAtMs),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** As Go prints a mode: "-rw-r--r--", "dtrwxrwxrwx", "urwxr-xr-x". */
export function permissionsOf({ kind, mode }: Pick<FileEntry, "kind" | "mode">): string {
  const special = [
    kind === "directory" ? "d" : "",
    kind === "link" ? "L" : "",
    (mode & 0o4000) === 0 ? "" : "u",
    (mode & 0o2000) === 0 ? "" : "g",
    (mode & 0o1000) === 0 ? "" : "t",
  ].join("");
  const bits = "rwxrwxrwx"
    .split("")
    .map((letter, at) => ((mode & (0o400 >> at)) === 0 ? "-" : letter))
    .join("");
  return (special === "" ? "-" : special) + bits;
}

/** RFC 3339; what a guest says of a time may be none, and protobuf's has four digits for a year. */
function timestamp(ms: number): string {
  const least = Date.UTC(1, 0, 1);
  const most = Date.UTC(9999, 11, 31);
  return new Date(Number.isFinite(ms) ? Math.min(Math.max(ms, least), most) : 0).toISOString();
}
