import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

export interface Walked {
  /** From the directory's top. */
  readonly path: string;
  readonly entry: Dirent;
}

/**
 * All below a directory, each before what is in it, in an order that does not depend on the file system. Links are not followed:
 * Node's own recursive `readdir` does.
 */
export async function walk(directory: string, prefix = ""): Promise<Walked[]> {
  const entries = await readdir(join(directory, prefix), { withFileTypes: true });
  const found: Walked[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(prefix, entry.name);
    found.push({ path, entry });
    if (entry.isDirectory()) found.push(...(await walk(directory, path)));
  }
  return found;
}
