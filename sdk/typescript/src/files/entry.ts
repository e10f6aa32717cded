import { FileKind, type FileEntry } from "../gen/sandboxes/v1/files.js";

export const FileType = { FILE: "file", DIR: "dir", SYMLINK: "symlink" } as const;
export type FileType = (typeof FileType)[keyof typeof FileType];

export interface WriteInfo {
  readonly name: string;
  /** Absent of what is neither: a socket, a pipe, a device. */
  readonly type?: FileType;
  readonly path: string;
}

export interface EntryInfo extends WriteInfo {
  readonly size: number;
  /** Permissions alone: 0o644. */
  readonly mode: number;
  /** "-rw-r--r--". */
  readonly permissions: string;
  readonly owner: string;
  readonly group: string;
  readonly modifiedTime?: Date;
  /** Of a link: where it leads. */
  readonly symlinkTarget?: string;
}

const types: Partial<Record<FileKind, FileType>> = {
  [FileKind.FILE]: FileType.FILE,
  [FileKind.DIRECTORY]: FileType.DIR,
  [FileKind.LINK]: FileType.SYMLINK,
};

/** A link is told of as what it leads to, where that is there. */
export function entryInfo(entry: FileEntry, target?: FileEntry): EntryInfo {
  const symlinkTarget = target === undefined || target.path === entry.path ? entry.target : target.path;
  return {
    ...writeInfo(entry, target),
    size: Number(entry.sizeBytes),
    mode: (target ?? entry).mode & 0o777,
    permissions: permissionsOf(entry),
    owner: entry.owner,
    group: entry.group,
    ...(entry.modifiedAt === undefined ? {} : { modifiedTime: entry.modifiedAt }),
    ...(symlinkTarget === undefined ? {} : { symlinkTarget }),
  };
}

export function writeInfo(entry: FileEntry, target?: FileEntry): WriteInfo {
  const type = types[(target ?? entry).kind];
  return { name: entry.name, path: entry.path, ...(type === undefined ? {} : { type }) };
}

/** As Go prints a mode: "-rw-r--r--", "dtrwxrwxrwx", "urwxr-xr-x". */
function permissionsOf({ kind, mode }: FileEntry): string {
  const special = [
    kind === FileKind.DIRECTORY ? "d" : "",
    kind === FileKind.LINK ? "L" : "",
    (mode & 0o4000) === 0 ? "" : "u",
    (mode & 0o2000) === 0 ? "" : "g",
    (mode & 0o1000) === 0 ? "" : "t",
  ].join("");
  const bits = Array.from("rwxrwxrwx", (letter, at) => ((mode & (0o400 >> at)) === 0 ? "-" : letter)).join("");
  return (special === "" ? "-" : special) + bits;
}
