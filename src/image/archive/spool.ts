/** Takes an archive's files apart into a directory of the store, so that a second look at any of them costs nothing. */
import { createHash, type Hash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { join, posix } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import { decompressFile } from "./decompress-file.js";
import { readTar, type TarEntry, type TarSink } from "./tar-reader.js";

export interface SpooledFile {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** By name in the archive, without a leading "./". Contents are nowhere named by the archive's names. */
export interface Spool {
  readonly files: ReadonlyMap<string, SpooledFile>;
  /** Symbolic links, as older `docker save` writes for a layer that two images share. */
  readonly links: ReadonlyMap<string, string>;
}

const maxFiles = 100_000;
const maxHops = 8;

export async function spoolArchive(archive: string, into: string, signal: AbortSignal): Promise<Spool> {
  const files = new Map<string, SpooledFile>();
  const links = new Map<string, string>();
  let open: SpoolSink | undefined;
  try {
    await readTar(decompressFile(archive, signal), async (entry) => {
      if (files.size + links.size > maxFiles) throw new RuntimeError("invalidArgument", `more than ${maxFiles} files`);
      const name = posix.normalize(entry.name).replace(/^\/+/, "");
      if (entry.type === "symlink" || entry.type === "hardlink") links.set(name, targetOf(name, entry));
      if (entry.type !== "file") return null;
      open = await SpoolSink.create(join(into, String(files.size)), (file) => files.set(name, file));
      return open;
    });
  } finally {
    await open?.close();
  }
  return { files, links };
}

/** The file of that name, through links. */
export function spooledFile(spool: Spool, name: string): SpooledFile | undefined {
  let at = posix.normalize(name).replace(/^\/+/, "");
  for (let hops = 0; hops < maxHops; hops += 1) {
    const file = spool.files.get(at);
    if (file !== undefined) return file;
    const next = spool.links.get(at);
    if (next === undefined) return undefined;
    at = next;
  }
  return undefined;
}

function targetOf(name: string, entry: TarEntry): string {
  const base = entry.type === "symlink" ? posix.dirname(name) : "";
  return posix.normalize(posix.join(base, entry.link));
}

class SpoolSink implements TarSink {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #done: (file: SpooledFile) => unknown;
  readonly #hash: Hash = createHash("sha256");
  #sizeBytes = 0;
  #open = true;

  private constructor(file: FileHandle, path: string, done: (file: SpooledFile) => unknown) {
    this.#file = file;
    this.#path = path;
    this.#done = done;
  }

  static async create(path: string, done: (file: SpooledFile) => unknown): Promise<SpoolSink> {
    return new SpoolSink(await open(path, "wx", 0o644), path, done);
  }

  async write(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.length;
    await this.#file.writeFile(chunk);
  }

  async end(): Promise<void> {
    await this.#file.sync(); // it may become a blob
    await this.close();
    const hex = this.#hash.digest("hex");
    this.#done({ path: this.#path, digest: digest(`sha256:${hex}`), sizeBytes: this.#sizeBytes });
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#file.close();
  }
}
