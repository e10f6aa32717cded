import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Limiter } from "../base/limiter.js";
import type { Logger } from "../base/log.js";
import { neverAborted } from "../base/signals.js";
import type { Native } from "../native/addon.js";
import { boxDirectoryAt, boxesDirectory, readBoxRecord } from "./box-directory.js";
import { sweepEmptyGroups } from "./cgroup/empty-groups.js";
import { removeBoxDirectory } from "./discard-box.js";

/** The daemon's start waits for all directories to be looked at. */
const sweepsAtOnce = 32;

/**
 * Takes away directories of Boxes that a daemon began to make and died before their record was written, in which nothing
 * runs; and empty groups of Boxes that have no directory at all.
 */
export async function sweepUnrecorded(state: string, native: Native, log: Logger): Promise<void> {
  const sweep = async (name: string): Promise<void> => {
    const directory = boxDirectoryAt(join(boxesDirectory(state), name));
    const record = await readBoxRecord(directory).catch(() => null); // one that can't be read is somebody's
    if (record !== undefined) return;
    await removeBoxDirectory(directory, native);
    log.warn({ directory: directory.path }, "removed the directory of a Box that was never started");
  };
  const turns = new Limiter<"sweep">({ inAll: sweepsAtOnce });
  const names = await readdir(boxesDirectory(state));
  await Promise.all([
    ...names.map((name) => turns.run("sweep", neverAborted, () => sweep(name))),
    sweepEmptyGroups(names, log),
  ]);
}
