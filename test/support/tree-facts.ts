/** What a tree of files is, entry by entry, so that two trees can be compared whoever made them. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "./image-store.js";

const mostShown = 20;

/**
 * One line for each entry by its path ("." is the root): kind, mode, owner, time in nanoseconds, what it holds (digest,
 * link's target, device numbers), extended attributes in hex, and, for hard links, the first path of the same file (an
 * overlay counts names that a higher layer has removed, so that the number of links itself tells nothing).
 */
export async function treeFacts(root: string): Promise<Map<string, string>> {
  const facts = new Map<string, string>();
  const attributes = await attributesOf(root);
  const firstPaths = new Map<string, string>();
  const digests = new Map<string, string>();
  for (const path of await pathsBelow(root)) {
    const found = await lstat(join(root, path), { bigint: true });
    const isDirectory = found.isDirectory();
    const file = `${found.dev}:${found.ino}`;
    const first = firstPaths.get(file) ?? path;
    firstPaths.set(file, first);
    if (found.isFile() && !digests.has(file)) digests.set(file, await digestOf(join(root, path)));
    const line = [
      `type=${(found.mode >> 12n).toString(8)} mode=${(found.mode & 0o7777n).toString(8)} uid=${found.uid} gid=${found.gid}`,
      `mtime=${found.mtimeNs}`,
      ...(isDirectory ? [] : [`same-as=${first}`]),
      ...(found.isFile() ? [`size=${found.size} sha256=${digests.get(file)}`] : []),
      ...(found.isSymbolicLink() ? [`to=${await readlink(join(root, path))}`] : []),
      ...(found.isCharacterDevice() || found.isBlockDevice() ? [`device=${found.rdev}`] : []),
      ...(attributes.get(path) ?? []),
    ];
    facts.set(path, line.join(" "));
  }
  return facts;
}

/** What differs, a line each; both lines of an entry that is in both. */
export function differences(ours: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): string[] {
  const paths = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  const all = paths.flatMap((path) => {
    const [our, their] = [ours.get(path), theirs.get(path)];
    return our === their ? [] : [`${path}\n  ours:   ${our ?? "none"}\n  theirs: ${their ?? "none"}`];
  });
  return all.length > mostShown ? [...all.slice(0, mostShown), `and ${all.length - mostShown} more`] : all;
}

async function pathsBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const below = entries.map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1));
  return [".", ...below.sort()];
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** "name=0x…" lines by path, of all that have any. */
async function attributesOf(root: string): Promise<Map<string, string[]>> {
  const listing = await run("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", root]);
  const found = new Map<string, string[]>();
  for (const block of listing.trim().split("\n\n")) {
    const [head = "", ...lines] = block.split("\n");
    const path = head.replace(/^# file: /, "").slice(root.length + 1);
    if (lines.length > 0) found.set(path === "" ? "." : path, lines.sort());
  }
  return found;
}
