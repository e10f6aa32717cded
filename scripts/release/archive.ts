/** Archives of a directory, the same bytes each time: sorted, root's, of one time. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, readlink, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack, type Pack } from "tar-stream";
import { walk } from "./walk.js";

/** gzip's own default: the highest takes twice as long for a hundredth. */
const level = 6;

export interface Packed {
  readonly directory: string;
  /** In front of each name: "a3s-box-1/" or "./opt/a3s-box/". */
  readonly prefix: string;
  readonly time: Date;
}

/** Resolves to the digest of what was written, hex. */
export async function writeTarGz(path: string, packed: Packed, more: readonly TarLink[] = []): Promise<string> {
  const tar = pack();
  const hash = createHash("sha256");
  const gzip = createGzip({ level });
  gzip.on("data", (chunk: Buffer) => hash.update(chunk));
  const written = pipeline(tar, gzip, createWriteStream(`${path}.new`));
  // Whatever of the two fails first ends the other.
  const filled = fill(tar, packed, more).catch((thrown: unknown) => {
    tar.destroy(asError(thrown));
  });
  await Promise.all([written, filled]);
  await rename(`${path}.new`, path);
  return hash.digest("hex");
}

export interface TarLink {
  readonly name: string;
  readonly to: string;
}

async function fill(tar: Pack, { directory, prefix, time }: Packed, more: readonly TarLink[]): Promise<void> {
  for (const parent of parentsOf(prefix)) addDirectory(tar, parent, time);
  for (const { path, entry } of await walk(directory)) {
    const name = `${prefix}${path}`;
    if (entry.isDirectory()) addDirectory(tar, name, time);
    else if (entry.isSymbolicLink()) addLink(tar, { name, to: await readlink(join(directory, path)) }, time);
    else await addFile(tar, name, join(directory, path), time);
  }
  const made = new Set(parentsOf(prefix));
  for (const link of more) {
    for (const parent of parentsOf(link.name).filter((one) => !made.has(one))) {
      made.add(parent);
      addDirectory(tar, parent, time);
    }
    addLink(tar, link, time);
  }
  tar.finalize();
}

/** "./opt/a" has "." and "./opt" above it: each directory that a name ends with a slash after. */
function parentsOf(name: string): string[] {
  return [...name.matchAll(/\//g)].map(({ index }) => name.slice(0, index));
}

function addDirectory(tar: Pack, name: string, mtime: Date): void {
  tar.entry({ name: `${name}/`, type: "directory", mode: 0o755, ...owned(mtime) });
}

function addLink(tar: Pack, { name, to }: TarLink, mtime: Date): void {
  tar.entry({ name, type: "symlink", linkname: to, mode: 0o777, ...owned(mtime) });
}

async function addFile(tar: Pack, name: string, path: string, mtime: Date): Promise<void> {
  const { size, mode } = await stat(path);
  const entry = tar.entry({ name, type: "file", size, mode: (mode & 0o111) === 0 ? 0o644 : 0o755, ...owned(mtime) });
  await pipeline(createReadStream(path), entry);
}

function owned(mtime: Date): { uid: number; gid: number; uname: string; gname: string; mtime: Date } {
  return { uid: 0, gid: 0, uname: "root", gname: "root", mtime };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** A few small files as a gzipped tar. */
export async function smallTarGz(
  files: readonly { readonly name: string; readonly text: string; readonly mode: number }[],
  time: Date,
): Promise<Buffer> {
  const tar = pack();
  for (const { name, text, mode } of files) tar.entry({ name, mode, ...owned(time) }, text);
  tar.finalize();
  return await buffer(tar.pipe(createGzip({ level })));
}

/** ar(5), as dpkg takes it: a header of sixty bytes before each member, each at an even place. */
export async function writeAr(path: string, members: readonly ArMember[], time: Date): Promise<void> {
  const parts: Buffer[] = [Buffer.from("!<arch>\n")];
  for (const { name, content } of members) {
    const seconds = String(Math.floor(time.getTime() / 1000));
    const size = String(content.length).padEnd(10);
    parts.push(
      Buffer.from(
        `${name.padEnd(16)}${seconds.padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${size}\`\n`,
      ),
    );
    parts.push(content, ...(content.length % 2 === 1 ? [Buffer.from("\n")] : []));
  }
  await writeFile(`${path}.new`, Buffer.concat(parts));
  await rename(`${path}.new`, path);
}

export interface ArMember {
  readonly name: string;
  readonly content: Buffer;
}

export async function fileMember(name: string, path: string): Promise<ArMember> {
  return { name, content: await readFile(path) };
}
