import { rm } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../../base/names-in.js";
import type { Deps } from "../../runtime/deps.js";

/** Beside the records; a pod's own files are in memory, and output may be more than that. */
export function insidesDirectory({ config }: Pick<Deps, "config">): string {
  return join(config.root, "pod-processes");
}

/** Removes what there is of pods that nobody knows any more, at the daemon's start. */
export async function removeStrayInsides(engine: Pick<Deps, "config" | "sandboxes">): Promise<void> {
  const directory = insidesDirectory(engine);
  for (const name of await namesIn(directory)) {
    if (!engine.sandboxes.all().some(({ id }) => id === name)) {
      await rm(join(directory, name), { recursive: true, force: true });
    }
  }
}
