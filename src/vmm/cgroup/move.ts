import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isNotFound, RuntimeError } from "../../base/errors.js";
import type { BoxId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { createBoxCgroup } from "./create.js";
import { isBoxGroup, type CgroupPlan } from "./plan.js";
import { removeBoxCgroup } from "./remove.js";

export interface Moving {
  readonly id: BoxId;
  /** Directories of its groups so far, with parents that were made for them. */
  readonly from: readonly string[];
  readonly to: CgroupPlan;
  /** As `createBoxCgroup` has them. */
  readonly strict: boolean;
  readonly processes: number | undefined;
}

/** A process that begins while the others move is moved with the next look. */
const mostLooks = 20;

/**
 * Makes the groups of the plan, moves all of a Box's processes into them, children too, and removes those that they were in.
 * Whoever calls it has written down both, and discards the Box when this fails. Memory stays charged to where it was touched.
 */
export async function moveBox(
  { id, from, to, strict, processes }: Moving,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const groups = await createBoxCgroup(to, { strict, processes, log, signal });
  try {
    const old = from.filter((directory) => isBoxGroup(directory, id));
    await moveProcesses(old, groups.procs, to, signal);
  } finally {
    groups.holder?.end();
  }
  await removeBoxCgroup(from, id, signal);
}

/** Until there is none left in any hierarchy in which there is a place for it. */
async function moveProcesses(
  from: readonly string[],
  procs: readonly string[],
  { hierarchies }: CgroupPlan,
  signal: AbortSignal,
): Promise<void> {
  const targets = hierarchies.flatMap(({ mountPoint }) => procs.find(isBelow(mountPoint)) ?? []);
  const left = hierarchies
    .filter(({ mountPoint }) => procs.some(isBelow(mountPoint)))
    .flatMap(({ mountPoint }) => from.filter(isBelow(mountPoint)));
  for (let look = 0; look < mostLooks; look++) {
    signal.throwIfAborted();
    const pids = new Set((await Promise.all(left.map(membersOf))).flat());
    if (pids.size === 0) return;
    // Also where they are in no group of the Box's yet: the making of one may have failed there.
    for (const target of targets) for (const pid of pids) await moveOne(pid, target);
  }
  throw new RuntimeError("internal", `there are always more processes in ${left.join(", ")}`);
}

function isBelow(mountPoint: string): (path: string) => boolean {
  return (path) => path.startsWith(`${mountPoint}/`);
}

async function membersOf(directory: string): Promise<number[]> {
  const text = await readFile(join(directory, "cgroup.procs"), "utf8").catch((thrown: unknown) => {
    if (isNotFound(thrown)) return "";
    throw thrown;
  });
  return text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

async function moveOne(pid: number, procs: string): Promise<void> {
  try {
    await writeFile(procs, String(pid), { flag: "r+" });
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw thrown; // it has ended meanwhile
  }
}
