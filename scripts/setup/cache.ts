import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, inStage } from "../../src/base/errors.js";
import { fingerprint } from "./fingerprint.js";
import { withLock } from "./lock.js";
import type { SetupContext } from "./run.js";

/** How to make one cached directory. */
export interface Recipe {
  readonly name: string;
  /** All that decides the content: versions, digests of lock files and sources, compilers. */
  readonly inputs: readonly string[];
  /** Fills an empty directory. It is moved to its place only when this succeeds. */
  readonly build: (directory: string, logFile: string) => Promise<void>;
}

/** The directory of a recipe in the cache; built on the way if no clone on this machine has built it yet. */
export async function cached(context: SetupContext, recipe: Recipe): Promise<string> {
  const place = join(context.cache, `${recipe.name}-${fingerprint(recipe.inputs)}`);
  if (await exists(place)) return await used(place);
  await mkdir(context.cache, { recursive: true });
  return await withLock(`${join(context.cache, "locks", basename(place))}.lock`, context.signal, async () => {
    if (await exists(place)) return await used(place);
    await removeLeftovers(place);
    const startedAt = Date.now();
    context.say(`${recipe.name}: building`);
    const temporary = await mkdtemp(join(dirname(place), `.${basename(place)}-`));
    const logFile = join(context.cache, "logs", `${basename(place)}.log`);
    try {
      await rm(logFile, { force: true });
      await recipe.build(temporary, logFile);
      await chmod(temporary, 0o755);
      await rename(temporary, place);
    } catch (thrown) {
      throw inStage(`set-up: ${recipe.name}`, thrown);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
    context.say(`${recipe.name}: built in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
    return place;
  });
}

/** What a killed build left: nobody else builds this place while we hold its lock. */
async function removeLeftovers(place: string): Promise<void> {
  for (const name of await readdir(dirname(place))) {
    if (name.startsWith(`.${basename(place)}-`)) await rm(join(dirname(place), name), { recursive: true, force: true });
  }
}

/** Marks an entry as in use, so that a person who clears the cache by age keeps it. */
async function used(place: string): Promise<string> {
  const now = new Date();
  await utimes(place, now, now);
  return place;
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return false;
    throw thrown;
  }
}
