/** Programs and libraries: what they need, and where they look for it. */
import { open, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";
import { exists } from "../setup/cache.js";
import { run, type SetupContext } from "../setup/run.js";
import { walk } from "./walk.js";

/** glibc's own, of which each machine has one that fits its loader. */
const ofTheSystem = /^(?:lib(?:c|m|dl|rt|pthread|util|resolv|anl)\.so\.\d+|ld-linux-x86-64\.so\.2)$/;
const libraryDirectories = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

export interface Library {
  /** By which it is asked for. */
  readonly name: string;
  /** Of its file, below the packages' root. */
  readonly file: string;
}

/** What the programs need that is not the system's, and what that needs, each from the packages' root. */
export async function librariesOf(
  context: SetupContext,
  programs: readonly string[],
  root: string,
): Promise<Library[]> {
  const found = new Map<string, Library>();
  const todo = [...programs];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    for (const name of await neededBy(context, next)) {
      if (ofTheSystem.test(name) || found.has(name)) continue;
      const path = await inDirectories(root, name);
      if (path === undefined) throw new RuntimeError("internal", `${next} needs ${name}, which is in no package`);
      const file = await realpath(path);
      found.set(name, { name, file: relative(await realpath(root), file) });
      todo.push(file);
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function neededBy(context: SetupContext, file: string): Promise<string[]> {
  const dynamic = await run("readelf", ["-d", file], { signal: context.signal });
  return [...dynamic.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]/]+)\]/g)].flatMap(([, name]) => name ?? []);
}

async function inDirectories(root: string, name: string): Promise<string | undefined> {
  for (const directory of libraryDirectories) {
    if (await exists(join(root, directory, name))) return join(root, directory, name);
  }
  return undefined;
}

/** Has a program look for its libraries, and those for theirs, in a directory given from its own. */
export async function lookIn(context: SetupContext, program: string, directory: string): Promise<void> {
  const path = `$ORIGIN/${directory}`;
  await run("patchelf", ["--force-rpath", "--set-rpath", path, program], { signal: context.signal });
}

/** The glibc that all programs below a directory do with, by the newest of its versions that any of them names. */
export async function glibcOf(context: SetupContext, directory: string): Promise<string> {
  let newest = "2.0";
  for (const { path: name, entry } of await walk(directory)) {
    const path = join(directory, name);
    // The guest has a C library of its own.
    if (!entry.isFile() || name.startsWith("build/assets/guest/") || !(await isElf(path))) continue;
    const text = await run("readelf", ["-V", path], { signal: context.signal });
    for (const [, version = ""] of text.matchAll(/\bGLIBC_(\d+\.\d+)/g)) {
      if (newest.localeCompare(version, "en", { numeric: true }) < 0) newest = version;
    }
  }
  return newest;
}

async function isElf(path: string): Promise<boolean> {
  await using file = await open(path, "r");
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return bytesRead === 4 && buffer.toString("latin1") === "\u007fELF";
}
