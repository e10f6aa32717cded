/** A program of this machine as a layer of an image has it, with the libraries that its linker would load. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { TarEntry } from "./tar-builder.js";

/** `files`: where each is to be, and where it is. What `linked` needs is added. */
export async function programEntries(
  files: readonly (readonly [string, string])[],
  linked: string,
): Promise<readonly TarEntry[]> {
  const all = new Map([...files, ...(await librariesOf(linked)).map((path) => [path, path] as const)]);
  return await Promise.all([...all].map(([path, source]) => entryOf(path, source)));
}

/** What the dynamic linker would load, itself too. */
async function librariesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)("ldd", [path]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = ""]) => library);
}

async function entryOf(path: string, source: string): Promise<TarEntry> {
  return { name: path.slice(1), mode: 0o755, content: await readFile(source) };
}
