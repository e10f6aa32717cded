import { createReadStream, watch as watchDirectory, type Stats } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { errnoOf, RuntimeError, type ErrorCode } from "../../../src/base/errors.js";
import type {
  ByteRange,
  FileAttributes,
  FileBody,
  FileEntry,
  FileEvent,
  FileList,
  Files,
  FileScope,
  ListWanted,
  WriteWanted,
} from "../../../src/sandboxes/core/file.js";

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "notFound",
  EISDIR: "invalidArgument",
  ENOTDIR: "invalidArgument",
  EEXIST: "invalidArgument",
  ENOSPC: "resourceExhausted",
};

/** A directory of the host, as `Files` has a sandbox's. */
export class DoubleFiles implements Files {
  readonly #home: string;
  /** Who was said to ask. */
  readonly users: string[] = [];
  /** By paths of this host. */
  readonly #attributes = new Map<string, FileAttributes>();

  constructor(home: string) {
    this.#home = home;
  }

  async stat(path: string, scope: FileScope, follow: boolean): Promise<FileEntry> {
    this.users.push(scope.user);
    return await tried(async () => this.#told(await entryOf(this.#at(path), follow), scope));
  }

  async list(path: string, scope: FileScope, { depth, limit }: ListWanted): Promise<FileList> {
    this.users.push(scope.user);
    return await tried(async () => {
      const directory = await entryOf(this.#at(path), true);
      const entries = await below(directory.path, depth);
      return { directory, entries: entries.slice(0, limit), truncated: entries.length > limit };
    });
  }

  async read(path: string, scope: FileScope, { offset, length }: ByteRange): Promise<FileBody> {
    this.users.push(scope.user);
    return await tried(async () => {
      const entry = await entryOf(this.#at(path), true);
      if (entry.kind === "directory") throw new RuntimeError("invalidArgument", `${path} is a directory`);
      const end = length === undefined ? Number.POSITIVE_INFINITY : offset + length - 1;
      return { entry, data: createReadStream(entry.path, { start: offset, end }) };
    });
  }

  async write(
    path: string,
    scope: FileScope,
    body: AsyncIterable<Uint8Array>,
    { attributes = new Map() }: WriteWanted,
  ): Promise<FileEntry> {
    this.users.push(scope.user);
    return await tried(async () => {
      const to = this.#at(path);
      await mkdir(dirname(to), { recursive: true });
      const beside = `${to}.partial`;
      const file = await open(beside, "w", 0o644);
      try {
        for await (const chunk of body) await file.write(chunk);
        await file.close();
        await rename(beside, to);
      } catch (thrown) {
        await file.close().catch(() => undefined);
        await rm(beside);
        throw thrown;
      }
      this.#attributes.set(to, attributes);
      return this.#told(await entryOf(to, true), scope);
    });
  }

  async makeDirectory(path: string): Promise<FileEntry> {
    return await tried(async () => {
      const to = this.#at(path);
      const there = await stat(to).catch(() => undefined);
      if (there?.isDirectory() === true) throw new RuntimeError("alreadyExists", `${path} is there`);
      await mkdir(to, { recursive: true });
      return await entryOf(to, true);
    });
  }

  async move(from: string, to: string): Promise<FileEntry> {
    return await tried(async () => {
      await rename(this.#at(from), this.#at(to));
      return await entryOf(this.#at(to), false);
    });
  }

  async remove(path: string, _scope: FileScope, recursive: boolean): Promise<void> {
    await tried(() => rm(this.#at(path), { recursive }));
  }

  watch(path: string, _scope: FileScope, recursive: boolean, signal: AbortSignal): Promise<AsyncIterable<FileEvent>> {
    return tried(async () => {
      await stat(this.#at(path));
      return eventsOf(this.#at(path), recursive, signal);
    });
  }

  #told(entry: FileEntry, { attributesWith }: FileScope): FileEntry {
    const all = attributesWith === undefined ? [] : [...(this.#attributes.get(entry.path) ?? [])];
    const asked = all.filter(([name]) => name.startsWith(attributesWith ?? ""));
    return asked.length === 0 ? entry : { ...entry, attributes: new Map(asked) };
  }

  #at(path: string): string {
    return resolve(this.#home, path.replace(/^~\/?/, ""));
  }
}

function eventsOf(path: string, recursive: boolean, signal: AbortSignal): AsyncIterable<FileEvent> {
  const events: FileEvent[] = [];
  let wake: (() => void) | undefined;
  const watcher = watchDirectory(path, { recursive, signal }, (kind, name) => {
    events.push({ kind: kind === "rename" ? "create" : "write", path: name ?? "" });
    wake?.();
  });
  signal.addEventListener("abort", () => wake?.());
  return {
    async *[Symbol.asyncIterator]() {
      try {
        while (!signal.aborted) {
          const event = events.shift();
          if (event !== undefined) yield event;
          else await new Promise<void>((done) => (wake = done));
        }
      } finally {
        watcher.close();
      }
    },
  };
}

async function below(directory: string, depth: number): Promise<FileEntry[]> {
  const found: FileEntry[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const entry = await entryOf(join(directory, name), false);
    found.push(entry);
    if (entry.kind === "directory" && depth > 1) found.push(...(await below(entry.path, depth - 1)));
  }
  return found;
}

async function entryOf(path: string, follow: boolean): Promise<FileEntry> {
  const facts = await (follow ? stat(path) : lstat(path));
  return {
    name: basename(path),
    path,
    kind: kindOf(facts),
    sizeBytes: facts.size,
    mode: facts.mode & 0o7777,
    uid: facts.uid,
    gid: facts.gid,
    owner: facts.uid === 0 ? "root" : String(facts.uid),
    group: facts.gid === 0 ? "root" : String(facts.gid),
    modifiedAtMs: facts.mtimeMs,
    ...(facts.isSymbolicLink() ? { target: await readlink(path) } : {}),
  };
}

function kindOf(facts: Stats): FileEntry["kind"] {
  if (facts.isDirectory()) return "directory";
  if (facts.isSymbolicLink()) return "link";
  return facts.isFile() ? "file" : "other";
}

async function tried<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const code = codes[errnoOf(thrown) ?? ""];
    throw code === undefined ? thrown : new RuntimeError(code, String(thrown), { cause: thrown });
  }
}
