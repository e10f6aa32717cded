import type { Call, Connection } from "../connection.js";
import { AlreadyExistsError, FileNotFoundError, InvalidArgumentError, QuotaError } from "../errors.js";
import {
  FileKind,
  FileServiceService as service,
  ListFilesRequest,
  MakeDirectoryRequest,
  type FileEntry,
} from "../gen/sandboxes/v1/files.js";
import type { RequestOpts } from "../options.js";
import { bodyOf, type Body, type FileData } from "./body.js";
import { entryInfo, writeInfo, type EntryInfo, type WriteInfo } from "./entry.js";
import { readFile } from "./read.js";
import { writeFile } from "./write.js";
import { startWatch, WatchHandle, type FilesystemEvent } from "./watch.js";

/** Of one list: it is one message. */
const mostEntries = 10_000;
/** Links of one list that are followed to say what they lead to. */
const mostFollowed = 256;

export interface FilesystemRequestOpts extends RequestOpts {
  /** Whose rights count; usually the sandbox's user. */
  readonly user?: string;
}

export interface FilesystemReadOpts extends FilesystemRequestOpts {
  /** So long may the runtime send nothing while it is read. Usually 60,000; 0: as long as it takes. */
  readonly streamIdleTimeoutMs?: number;
}

export interface FilesystemWriteOpts extends FilesystemRequestOpts {
  /** Of a new file; one that is there keeps its own. Usually 0o644. */
  readonly mode?: number;
}

export interface WriteEntry {
  readonly path: string;
  readonly data: FileData;
}

export interface WatchOpts extends FilesystemRequestOpts {
  /** And below it, without following links. */
  readonly recursive?: boolean;
  /** When it ends: with an error where the connection has broken. */
  readonly onExit?: (error?: Error) => void | Promise<void>;
}

/** Files of a sandbox, as its programs see them. Relative paths begin at its working directory, "~" is the user's home. */
export class Filesystem {
  readonly #connection: Connection;
  readonly #sandboxId: string;

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection;
    this.#sandboxId = sandboxId;
  }

  read(path: string, opts?: FilesystemReadOpts & { readonly format?: "text" }): Promise<string>;
  read(path: string, opts: FilesystemReadOpts & { readonly format: "bytes" }): Promise<Uint8Array>;
  read(path: string, opts: FilesystemReadOpts & { readonly format: "blob" }): Promise<Blob>;
  read(path: string, opts: FilesystemReadOpts & { readonly format: "stream" }): Promise<ReadableStream<Uint8Array>>;
  async read(
    path: string,
    opts: FilesystemReadOpts & { readonly format?: "text" | "bytes" | "blob" | "stream" } = {},
  ): Promise<string | Uint8Array | Blob | ReadableStream<Uint8Array>> {
    const parts = readFile(
      { ...this.#place(opts), path, call: this.#call("files.read", opts) },
      opts.streamIdleTimeoutMs,
    );
    if (opts.format === "stream") return await streamOf(parts);
    const all: Uint8Array[] = [];
    for await (const part of parts) all.push(part);
    const bytes = Buffer.concat(all);
    if (opts.format === "bytes") return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return opts.format === "blob" ? new Blob([bytes]) : bytes.toString("utf8");
  }

  /** All or nothing, with the directories above it: whoever reads sees what was there before, or all of this. */
  write(path: string, data: FileData, opts?: FilesystemWriteOpts): Promise<WriteInfo>;
  write(files: readonly WriteEntry[], opts?: FilesystemWriteOpts): Promise<WriteInfo[]>;
  async write(
    where: string | readonly WriteEntry[],
    data?: FileData | FilesystemWriteOpts,
    opts?: FilesystemWriteOpts,
  ): Promise<WriteInfo | WriteInfo[]> {
    if (typeof where !== "string") return await this.writeFiles(where, isData(data) ? opts : data);
    if (isData(data)) return await this.#write(where, bodyOf(data), opts ?? {});
    throw new InvalidArgumentError("there is nothing to write", { stage: "files.write", sandboxId: this.#sandboxId });
  }

  /** One after the other. */
  async writeFiles(files: readonly WriteEntry[], opts: FilesystemWriteOpts = {}): Promise<WriteInfo[]> {
    const written: WriteInfo[] = [];
    for (const { path, data } of files) written.push(await this.#write(path, bodyOf(data), opts));
    return written;
  }

  /** Sorted by path; `depth` levels, usually one. */
  async list(path: string, opts: FilesystemRequestOpts & { readonly depth?: number } = {}): Promise<EntryInfo[]> {
    const call = this.#call("files.list", opts);
    const depth = opts.depth ?? 1;
    if (depth < 1) throw new InvalidArgumentError("depth is a number from 1 up", call);
    const { sandboxId, user } = this.#place(opts);
    const request = ListFilesRequest.fromPartial({ sandboxId, user, path, depth, limit: mostEntries });
    const { entries, truncated } = await this.#connection.repeatable(service.listFiles, request, call);
    if (truncated) throw new QuotaError(`more than ${mostEntries} entries (list with less depth)`, call);
    let left = mostFollowed;
    const infos: EntryInfo[] = [];
    for (const entry of entries) {
      if (entry.kind === FileKind.LINK) left -= 1;
      infos.push(left < 0 ? entryInfo(entry) : await this.#told(entry, opts, call));
    }
    return infos;
  }

  /** With the directories above it; false when it is there already (or a first try made it whose answer was lost). */
  async makeDir(path: string, opts: FilesystemRequestOpts = {}): Promise<boolean> {
    const call = this.#call("files.makeDir", opts);
    const { sandboxId, user } = this.#place(opts);
    try {
      const request = MakeDirectoryRequest.fromPartial({ sandboxId, user, path });
      await this.#connection.repeatable(service.makeDirectory, request, call);
      return true;
    } catch (thrown) {
      if (thrown instanceof AlreadyExistsError) return false;
      throw thrown;
    }
  }

  async rename(oldPath: string, newPath: string, opts: FilesystemRequestOpts = {}): Promise<EntryInfo> {
    const call = this.#call("files.rename", opts);
    const request = { ...this.#scope(opts), from: oldPath, to: newPath };
    const { entry } = await this.#connection.once(service.moveFile, request, call);
    return entryInfo(present(entry));
  }

  /** `rename`. */
  async move(oldPath: string, newPath: string, opts: FilesystemRequestOpts = {}): Promise<EntryInfo> {
    return await this.rename(oldPath, newPath, opts);
  }

  /** With all that is in it; success where there is nothing. */
  async remove(path: string, opts: FilesystemRequestOpts = {}): Promise<void> {
    try {
      const request = { ...this.#scope(opts), path, recursive: true };
      await this.#connection.repeatable(service.removeFile, request, this.#call("files.remove", opts));
    } catch (thrown) {
      if (!(thrown instanceof FileNotFoundError)) throw thrown;
    }
  }

  async exists(path: string, opts: FilesystemRequestOpts = {}): Promise<boolean> {
    try {
      const request = { ...this.#scope(opts), path, follow: true };
      await this.#connection.repeatable(service.statFile, request, this.#call("files.exists", opts));
      return true;
    } catch (thrown) {
      if (thrown instanceof FileNotFoundError) return false;
      throw thrown;
    }
  }

  /** Of a link: what it leads to, and where that is. */
  async getInfo(path: string, opts: FilesystemRequestOpts = {}): Promise<EntryInfo> {
    const call = this.#call("files.getInfo", opts);
    const request = { ...this.#scope(opts), path, follow: false };
    const { entry } = await this.#connection.repeatable(service.statFile, request, call);
    return await this.#told(present(entry), opts, call);
  }

  /** `getInfo`. */
  async stat(path: string, opts: FilesystemRequestOpts = {}): Promise<EntryInfo> {
    return await this.getInfo(path, opts);
  }

  /** From the moment it resolves on nothing is missed. */
  async watchDir(
    path: string,
    onEvent: (event: FilesystemEvent) => void | Promise<void>,
    opts: WatchOpts = {},
  ): Promise<WatchHandle> {
    const stop = new AbortController();
    return new WatchHandle(await this.#watch(path, opts, stop), stop, onEvent, opts.onExit);
  }

  /** The same, to be iterated: the directory is watched from the first step on, to the end of the loop. */
  async *watch(
    path: string,
    opts: FilesystemRequestOpts & { readonly recursive?: boolean } = {},
  ): AsyncGenerator<FilesystemEvent, void> {
    const stop = new AbortController();
    const abort = (): void => {
      stop.abort();
    };
    opts.signal?.addEventListener("abort", abort, { once: true });
    try {
      yield* await this.#watch(path, opts, stop);
      opts.signal?.throwIfAborted();
    } finally {
      opts.signal?.removeEventListener("abort", abort);
      stop.abort();
    }
  }

  async #watch(path: string, opts: WatchOpts, stop: AbortController): Promise<AsyncGenerator<FilesystemEvent, void>> {
    const call = this.#call("files.watchDir", opts);
    return await startWatch({ ...this.#place(opts), path, recursive: opts.recursive ?? false, call }, stop);
  }

  async #write(path: string, body: Body, opts: FilesystemWriteOpts): Promise<WriteInfo> {
    const call = { ...this.#call("files.write", opts), usualMs: 0 };
    const open = { ...this.#scope(opts), path, mode: opts.mode, parents: true };
    return writeInfo(present(await writeFile(this.#connection, open, body, call)));
  }

  async #told(entry: FileEntry, opts: FilesystemRequestOpts, call: Call): Promise<EntryInfo> {
    if (entry.kind !== FileKind.LINK) return entryInfo(entry);
    try {
      const request = { ...this.#scope(opts), path: entry.path, follow: true };
      const { entry: target } = await this.#connection.repeatable(service.statFile, request, call);
      return entryInfo(entry, target);
    } catch (thrown) {
      // It leads nowhere, or in a circle.
      if (thrown instanceof FileNotFoundError || thrown instanceof InvalidArgumentError) return entryInfo(entry);
      throw thrown;
    }
  }

  #call(stage: string, opts: RequestOpts | undefined): Call {
    return { stage, subject: "file", sandboxId: this.#sandboxId, opts };
  }

  #scope({ user }: FilesystemRequestOpts): { sandboxId: string; user: string } {
    return { sandboxId: this.#sandboxId, user: user ?? "" };
  }

  #place(opts: FilesystemRequestOpts) {
    return { ...this.#scope(opts), connection: this.#connection };
  }
}

function isData(data: FileData | FilesystemWriteOpts | undefined): data is FileData {
  if (typeof data === "string" || data instanceof ArrayBuffer || data instanceof Blob) return true;
  return data instanceof Uint8Array || (typeof data === "object" && Symbol.asyncIterator in data);
}

function present(entry: FileEntry | undefined): FileEntry {
  if (entry === undefined) throw new Error("the runtime's answer has no entry");
  return entry;
}

/** Fails here, and not at the first read, where there is no such file. */
async function streamOf(parts: AsyncGenerator<Uint8Array, void>): Promise<ReadableStream<Uint8Array>> {
  let first: IteratorResult<Uint8Array, void> | undefined = await parts.next();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = first ?? (await parts.next());
        first = undefined;
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await parts.return();
      },
    },
    { highWaterMark: 0 },
  );
}
