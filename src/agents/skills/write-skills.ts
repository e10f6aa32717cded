/** A directory as containers have it mounted: brought up to date while they read it. */
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNotFound } from "../../base/errors.js";
import type { FoundSkill, SkillEntry } from "./read-source.js";

/**
 * A skill comes and goes whole, and each of its files changes whole: by renames from `beside`, a directory of the same file
 * system that nobody else sees. One writer at a time.
 */
export async function writeSkills(directory: string, beside: string, skills: readonly FoundSkill[]): Promise<void> {
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { recursive: true, mode: 0o700 });
  await shown(directory);
  const wanted = new Set(skills.map(({ name }) => name));
  const there = await readdir(directory);
  for (const name of there.filter((one) => !wanted.has(one)))
    await rename(join(directory, name), join(beside, `-${name}`));
  for (const { name, entries } of skills) {
    if (there.includes(name)) await update(join(directory, name), join(beside, ".file"), entries);
    else {
      const made = join(beside, name);
      await update(made, join(beside, ".file"), entries);
      await rename(made, join(directory, name));
    }
  }
  await rm(beside, { recursive: true, force: true });
}

async function update(directory: string, temporary: string, entries: readonly SkillEntry[]): Promise<void> {
  const files = new Set(entries.map(({ path }) => path));
  const directories = new Set<string>();
  for (const path of files) {
    for (let above = dirname(path); above !== "."; above = dirname(above)) directories.add(above);
  }
  await shown(directory);
  await removeOthers(directory, files, directories);
  for (const one of [...directories].sort()) await shown(join(directory, one));
  for (const { path, data, executable } of entries) {
    const to = join(directory, path);
    const mode = executable ? 0o555 : 0o444;
    if (await isSame(to, data, mode)) continue;
    await writeFile(temporary, data, { mode });
    await chmod(temporary, mode);
    await rename(temporary, to);
  }
}

async function removeOthers(root: string, files: ReadonlySet<string>, directories: ReadonlySet<string>): Promise<void> {
  for (const path of await readdir(root, { recursive: true })) {
    const full = join(root, path);
    const isDirectory = await lstat(full).then(
      (facts) => facts.isDirectory(),
      () => undefined, // it went with the directory that it was in
    );
    const stays = isDirectory === true ? directories.has(path) : files.has(path);
    if (isDirectory !== undefined && !stays) await rm(full, { recursive: true, force: true });
  }
}

async function isSame(path: string, data: Buffer, mode: number): Promise<boolean> {
  try {
    const facts = await stat(path);
    return facts.size === data.length && (facts.mode & 0o777) === mode && data.equals(await readFile(path));
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** To whoever is in the container. */
async function shown(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await chmod(directory, 0o755);
}
