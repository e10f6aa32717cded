import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const sandboxGroup = /^(?:[0-9a-f]{64}|a3s-(?:box|pool)-[0-9a-f]{64}\.scope)$/;

/**
 * Groups without a process that are named by a sandbox's id, beside the given ones or below those that are no
 * sandbox's. One with processes may be another daemon's: its processes tell.
 */
export async function emptyGroupsBeside(paths: readonly string[]): Promise<string[]> {
  const parents = new Set(paths.map((path) => (sandboxGroup.test(basename(path)) ? dirname(path) : path)));
  const found: string[] = [];
  for (const parent of parents) {
    for (const entry of await readdir(parent, { withFileTypes: true }).catch(() => [])) {
      if (!entry.isDirectory() || !sandboxGroup.test(entry.name)) continue;
      const path = join(parent, entry.name);
      const processes = await readFile(join(path, "cgroup.procs"), "utf8").catch(() => "it has gone");
      if (processes === "") found.push(path);
    }
  }
  return found.sort();
}
