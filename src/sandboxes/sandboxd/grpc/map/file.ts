import { FileChange, type FileEntry as EntryMessage, FileKind } from "../../../../gen/sandboxes/v1/files.js";
import type { FileEntry, FileEvent } from "../../../core/file.js";
import { given } from "../../given.js";

const kinds = {
  file: FileKind.FILE,
  directory: FileKind.DIRECTORY,
  link: FileKind.LINK,
  other: FileKind.OTHER,
} satisfies Record<FileEntry["kind"], FileKind>;

const changes = {
  create: FileChange.CREATE,
  write: FileChange.WRITE,
  remove: FileChange.REMOVE,
  rename: FileChange.RENAME,
  chmod: FileChange.CHMOD,
} satisfies Record<FileEvent["kind"], FileChange>;

export function changeOf(event: FileEvent): FileChange {
  return changes[event.kind];
}

export function entryMessage(entry: FileEntry): EntryMessage {
  const { name, path, mode, uid, gid, owner, group } = entry;
  return {
    ...{ name, path, mode, uid, gid, owner, group },
    kind: kinds[entry.kind],
    sizeBytes: BigInt(entry.sizeBytes),
    modifiedAt: new Date(entry.modifiedAtMs),
    ...given("target", entry.target),
  };
}
