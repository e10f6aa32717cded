import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The project's folder; tests also run compiled, from below `build/`. */
export const projectFolder = find(import.meta.dirname);

function find(folder: string): string {
  if (existsSync(join(folder, "package-lock.json"))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error("no package-lock.json above the tests");
  return find(parent);
}
