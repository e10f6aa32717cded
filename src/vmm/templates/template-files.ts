import { readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { isNotFound } from "../../base/errors.js";
import type { BoxId } from "../../base/ids.js";

/** Each is some 40 to 70 MiB: what its guest has touched. */
const mostKept = 8;
/** One that was used within this gives way to no other: pods of nine sizes in turn would have a template made for each. */
const restMs = 600_000;
const suffix = ".ram";

/** Where the state of a Box is written to, before it is a template. */
export function partIn(directory: string, id: string): string {
  return join(directory, `${id}.part`);
}

interface Kept {
  readonly path: string;
  readonly usedMs: number;
}

/**
 * The files of templates, by their keys. Daemons of one machine may share the directory: one that is whole comes by a rename,
 * those under way have names of their own, and who goes on from one that is taken away meanwhile boots.
 */
export class TemplateFiles {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Those of an earlier boot of the machine are no use to anybody. */
  static async open(directory: string): Promise<TemplateFiles> {
    await closedDirectory(directory);
    const bootedMs = Date.now() - uptime() * 1000;
    for (const name of (await readdir(directory)).filter((one) => /\.(?:ram|part)$/.test(one))) {
      const path = join(directory, name);
      if ((await usedMsOf(path)) < bootedMs) await rm(path, { force: true });
    }
    return new TemplateFiles(directory);
  }

  /** Its path, for a Box to go on from; undefined: there is none. */
  async use(key: string): Promise<string | undefined> {
    const path = join(this.#directory, key + suffix);
    try {
      await utimes(path, new Date(), new Date()); // who was used last is kept longest
      return path;
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }
  }

  keyOf(path: string): string {
    return path.slice(this.#directory.length + 1, -suffix.length);
  }

  partOf(id: BoxId): string {
    return partIn(this.#directory, id);
  }

  /** Whether one more may be made. */
  async haveRoom(): Promise<boolean> {
    const kept = await this.#kept();
    const last = kept[mostKept - 1];
    return last === undefined || last.usedMs < Date.now() - restMs;
  }

  /** What was written of the Box is a template from now on; those used least recently give way. */
  async publish(id: BoxId, key: string): Promise<void> {
    await rename(this.partOf(id), join(this.#directory, key + suffix));
    for (const { path } of (await this.#kept()).slice(mostKept)) await rm(path, { force: true });
  }

  /** Those used last come first. */
  async #kept(): Promise<Kept[]> {
    const paths = (await readdir(this.#directory))
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(this.#directory, name));
    const kept = await Promise.all(paths.map(async (path) => ({ path, usedMs: await usedMsOf(path) })));
    return kept.sort((a, b) => b.usedMs - a.usedMs);
  }
}

/** Another daemon may have taken it away. */
async function usedMsOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
