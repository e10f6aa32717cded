/** Files of a sandbox, as its container sees them: by the agent, in the container's mount namespace (design, decision 26). */

/** Extended attributes, by their whole names ("user.…"). A value that is no UTF-8 is left out. */
export type FileAttributes = ReadonlyMap<string, string>;

export interface FileEntry {
  readonly name: string;
  /** Absolute, in the container. */
  readonly path: string;
  readonly kind: "file" | "directory" | "link" | "other";
  readonly sizeBytes: number;
  /** Permissions with set-uid and its like: 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** By the container's own /etc/passwd and /etc/group; the number where that has no name. */
  readonly owner: string;
  readonly group: string;
  readonly modifiedAtMs: number;
  /** Of a link: what it says. */
  readonly target?: string;
  /** Those that the scope asks for; absent: none. */
  readonly attributes?: FileAttributes;
}

/** Whose rights count, and what paths are relative to. */
export interface FileScope {
  /** Name, id or "user:group"; "": the sandbox's. The kernel decides what the user may. */
  readonly user: string;
  /** Relative paths begin here; "": the container's working directory. "~" and "~/…" are the user's home. Absent: that. */
  readonly base?: string;
  /** No path leads out of this directory, by no ".." and no link: `permissionDenied`. Absent: the container's root. */
  readonly root?: string;
  /** Entries come with the attributes whose names begin so ("user.…"), 4 KiB of them at most. Absent: with none. */
  readonly attributesWith?: string;
}

export interface WriteWanted {
  /** Of a new file; one that is there keeps its own. Absent: 0644. */
  readonly mode?: number;
  /** Directories above it are made, 0755, the user's. */
  readonly parents: boolean;
  /** Of the new file, which keeps none of one before it; `failedPrecondition` where its file system has none. */
  readonly attributes?: FileAttributes;
}

export interface FileEvent {
  readonly kind: "create" | "write" | "remove" | "rename" | "chmod";
  /** Relative to the watched directory. */
  readonly path: string;
}

/**
 * The files of one sandbox. Paths are checked once, bounded (4,096 bytes, no NUL) and may be any bytes but that: strings
 * here are UTF-8, and a name that is none is listed with U+FFFD and can't be opened by it. Errors: `notFound`,
 * `alreadyExists`, `invalidArgument` (a directory where a file is wanted, and the like), `permissionDenied`,
 * `resourceExhausted` (ENOSPC, EDQUOT), `failedPrecondition` (a directory that is not empty).
 */
export interface Files {
  /** `follow`: what a link leads to; else of the link. */
  stat(path: string, scope: FileScope, follow: boolean, signal: AbortSignal): Promise<FileEntry>;
  /** Sorted by path, `depth` levels (1: what is in it). At most `limit`, and whether there are more. */
  list(path: string, scope: FileScope, wanted: ListWanted, signal: AbortSignal): Promise<FileList>;
  /** From `offset`, at most `length` bytes (absent: to the end). The body must be read to its end or given up by `signal`. */
  read(path: string, scope: FileScope, range: ByteRange, signal: AbortSignal): Promise<FileBody>;
  /**
   * All or nothing: a new file beside it, synced and renamed over it when the body has ended well. Of two writers one
   * wins, whole. A body that throws leaves nothing.
   */
  write(
    path: string,
    scope: FileScope,
    body: AsyncIterable<Uint8Array>,
    wanted: WriteWanted,
    signal: AbortSignal,
  ): Promise<FileEntry>;
  /** With those above it. `alreadyExists` for a directory that is there, `invalidArgument` for a file. */
  makeDirectory(path: string, scope: FileScope, mode: number, signal: AbortSignal): Promise<FileEntry>;
  move(from: string, to: string, scope: FileScope, signal: AbortSignal): Promise<FileEntry>;
  /** `recursive`: with all that is in it. `notFound` where there is none. */
  remove(path: string, scope: FileScope, recursive: boolean, signal: AbortSignal): Promise<void>;
  /** What changes in a directory from the moment the iterable is there; `recursive`: and below it, without following links. */
  watch(path: string, scope: FileScope, recursive: boolean, signal: AbortSignal): Promise<AsyncIterable<FileEvent>>;
}

export interface ListWanted {
  readonly depth: number;
  readonly limit: number;
}

export interface FileList {
  /** The directory itself, after links. */
  readonly directory: FileEntry;
  readonly entries: readonly FileEntry[];
  readonly truncated: boolean;
}

export interface ByteRange {
  readonly offset: number;
  readonly length?: number;
}

export interface FileBody {
  readonly entry: FileEntry;
  readonly data: AsyncIterable<Uint8Array>;
}
