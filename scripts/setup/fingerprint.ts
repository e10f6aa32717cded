import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { run, type SetupContext } from "./run.js";

const notSources = new Set(["target", "build", "node_modules", ".git", "__pycache__"]);

/** Hex of the digest of what an asset is made from; order counts. */
export function fingerprint(inputs: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 20);
}

/** "path digest" of each file under the given files and directories of the repository; build output left out. */
export async function sourceInputs(root: string, paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) files.push(...(await filesUnder(join(root, path))));
  const lines: string[] = [];
  for (const file of files.sort()) {
    lines.push(
      `${relative(root, file)} ${createHash("sha256")
        .update(await readFile(file))
        .digest("hex")}`,
    );
  }
  return lines;
}

async function filesUnder(path: string): Promise<string[]> {
  let entries;
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOTDIR") return [path];
    throw thrown;
  }
  const found: string[] = [];
  for (const entry of entries) {
    if (entry.isDirectory() && !notSources.has(entry.name)) found.push(...(await filesUnder(join(path, entry.name))));
    if (entry.isFile()) found.push(join(path, entry.name));
  }
  return found;
}

const versions = new Map<string, Promise<string>>();

/** The first line of `TOOL --version`, asked once. */
export function toolVersion(tool: string, context: SetupContext): Promise<string> {
  const known = versions.get(tool);
  if (known !== undefined) return known;
  const asked = run(tool, ["--version"], { signal: context.signal }).then((text) => text.split("\n")[0] ?? "");
  versions.set(tool, asked);
  return asked;
}
