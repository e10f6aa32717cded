/** `node in-use`: which of the chart's releases something runs from. On the node itself: a pod sees its own processes alone. */
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { parseMountinfo } from "../../base/mountinfo.js";
import { exitStatus, parseFlags, print } from "../command.js";
import { treesIn } from "./release-trees.js";

/** What the command ends with. */
export const wasAll = /^That is all\.$/m;

export async function nodeInUse(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { opt: { type: "string", default: "/opt" } } as const });
  const used = await treesInUse(values.opt, await treesIn(values.opt), "/proc");
  print(`${used.map((name) => `in use: ${name}\n`).join("")}That is all.\n`);
  return exitStatus.ok;
}

/** The names in what the command has printed. */
export function namesSaid(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/^in use: (\S+)$/gm)].map(([, name = ""]) => name));
}

/**
 * Those of which a process has its program, or a mount namespace a mount. A program in a jail has a path of the jail's, or none at
 * all: it is known by its file. Throws where a process can't be looked at: what is not known is no reason to remove anything.
 */
export async function treesInUse(opt: string, trees: readonly string[], proc: string): Promise<readonly string[]> {
  const treeOf = await filesOf(opt, trees);
  const used = new Set<string>();
  const namespaces = new Set<string>();
  for (const pid of (await readdir(proc)).filter((name) => /^\d+$/.test(name))) {
    const program = treeOf.get((await unlessEnded(programOf(join(proc, pid)))) ?? "");
    if (program !== undefined) used.add(program);
    const namespace = (await unlessEnded(readlink(join(proc, pid, "ns/mnt")))) ?? "";
    if (namespace === "" || namespaces.has(namespace)) continue;
    const text = await unlessEnded(readFile(join(proc, pid, "mountinfo"), "utf8"));
    if (text === undefined) continue; // another process of that namespace may live
    namespaces.add(namespace);
    const names = new Set(parseMountinfo(text).flatMap(({ root }) => root.split("/")));
    for (const name of trees) if (names.has(name)) used.add(name);
  }
  return trees.filter((name) => used.has(name));
}

/** The tree of each file that can be a program. */
async function filesOf(opt: string, trees: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const tree of trees) {
    const entries = await readdir(join(opt, tree), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      const { dev, ino, mode } = await lstat(join(entry.parentPath, entry.name), { bigint: true });
      if ((mode & 0o111n) !== 0n) found.set(`${dev} ${ino}`, tree);
    }
  }
  return found;
}

async function programOf(process: string): Promise<string> {
  const { dev, ino } = await stat(join(process, "exe"), { bigint: true });
  return `${dev} ${ino}`;
}

/** Undefined for a process that has ended meanwhile, for what is left of one, and for the kernel's own. */
async function unlessEnded<T>(looked: Promise<T>): Promise<T | undefined> {
  try {
    return await looked;
  } catch (thrown) {
    if (["ENOENT", "ESRCH", "EINVAL"].includes(errnoOf(thrown) ?? "")) return undefined;
    throw thrown;
  }
}
