import { execFile } from "node:child_process";
import { open, readlink, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { RuntimeError, messageOf } from "../../base/errors.js";

/** What the loader needs to start a program. */
export interface Libraries {
  /** The program itself, no link. */
  readonly file: string;
  /** Directories (no links) that hold its libraries and the loader, and the loader's cache. */
  readonly directories: readonly string[];
  /** Links at the top of the file system by which they are named ("/lib64" to "usr/lib64"). */
  readonly links: readonly { readonly path: string; readonly text: string }[];
}

const cache = "/etc/ld.so.cache";
const limitMs = 10_000;

/** Asks the loader that the program names, as ldd(1) does, which is a script: an image may have no shell. A static program has none. */
export async function librariesOf(program: string, signal: AbortSignal): Promise<Libraries> {
  const file = await realpath(program);
  const paths = parseLoaderList(await loaderList(file, signal));
  const directories = new Set<string>();
  const links = new Map<string, string>();
  for (const path of paths) {
    // The loader opens the name, and the name may be a link to another directory.
    directories.add(await realpath(dirname(path)));
    directories.add(dirname(await realpath(path)));
    const top = `/${path.split("/")[1] ?? ""}`;
    const text = await readlink(top).catch(() => undefined);
    if (text !== undefined) links.set(top, text);
  }
  const found = [...directories, ...(paths.length > 0 ? [await realpath(cache).catch(() => undefined)] : [])];
  return {
    file,
    directories: found.filter((path) => path !== undefined),
    links: [...links].map(([path, text]) => ({ path, text })),
  };
}

/** "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)". */
export function parseLoaderList(text: string): string[] {
  return [...text.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].flatMap((match) =>
    match[1] === undefined ? [] : [match[1]],
  );
}

async function loaderList(file: string, signal: AbortSignal): Promise<string> {
  const loader = await loaderOf(file);
  if (loader === undefined) return "";
  return await new Promise((resolve, reject) => {
    const options = { timeout: limitMs, signal, env: { LC_ALL: "C" } };
    execFile(loader, ["--list", file], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new RuntimeError("failedPrecondition", `${loader} ${file}: ${stderr.trim() || messageOf(error)}`));
    });
  });
}

/** elf(5), of 64 bits: the header, and what a segment's header of the program has of the name of its loader. */
const header = { bytes: 64, segments: 32, segmentBytes: 54, segmentCount: 56 } as const;
const segment = { type: 0, offset: 8, bytes: 32, least: 56, interpreter: 3 } as const;
const elfOf64Bits = "\u007fELF\u0002\u0001";
const maxPath = 4096;

/** Undefined for a static program. */
async function loaderOf(path: string): Promise<string | undefined> {
  await using file = await open(path, "r");
  const read = async (bytes: number, at: number): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, at);
    return buffer.subarray(0, bytesRead);
  };
  const head = await read(header.bytes, 0);
  if (head.length < header.bytes || head.toString("latin1", 0, 6) !== elfOf64Bits) {
    throw new RuntimeError("failedPrecondition", `${path} is no program of 64 bits`);
  }
  const [size, count] = [head.readUInt16LE(header.segmentBytes), head.readUInt16LE(header.segmentCount)];
  const table = await read(size * count, Number(head.readBigUInt64LE(header.segments)));
  for (let at = 0; at + segment.least <= table.length; at += Math.max(size, segment.least)) {
    if (table.readUInt32LE(at + segment.type) !== segment.interpreter) continue;
    const bytes = Math.min(maxPath, Number(table.readBigUInt64LE(at + segment.bytes)));
    const name = await read(bytes, Number(table.readBigUInt64LE(at + segment.offset)));
    return name.toString("utf8").replace(/\0.*$/s, "");
  }
  return undefined;
}
