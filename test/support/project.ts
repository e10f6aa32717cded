import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The project's directory; tests also run compiled, from below `build/`. */
export const projectDirectory = find(import.meta.dirname);

function find(directory: string): string {
  if (existsSync(join(directory, "package-lock.json"))) return directory;
  const parent = dirname(directory);
  if (parent === directory) throw new Error("no package-lock.json above the tests");
  return find(parent);
}
