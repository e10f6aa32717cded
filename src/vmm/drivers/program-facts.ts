import { realpath, stat } from "node:fs/promises";

/** Of files their places and what changes with them: they are large, and a daemon's start is not the time to read them. */
export async function programFacts(paths: readonly string[]): Promise<string[]> {
  return await Promise.all(
    paths.map(async (path) => {
      const file = await realpath(path);
      const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
      return [file, dev, ino, size, mtimeNs].join(" ");
    }),
  );
}
