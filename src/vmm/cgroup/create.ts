import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { delegateControllers, makeGroup, type CgroupHierarchy } from "../../base/cgroups.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { startScope, type ScopeHolder } from "../systemd/start-scope.js";
import { limitProcesses } from "./limit-processes.js";
import type { CgroupPlan } from "./plan.js";

/** The groups of one Box. */
export interface BoxCgroup {
  /** Of the Box's group, below the root of each hierarchy. */
  readonly path: string;
  /** Directories that were made, deepest first in each hierarchy: the Box's own, then parents that were not there. */
  readonly directories: readonly string[];
  /** The `cgroup.procs` files that the Box's processes write themselves into. */
  readonly procs: readonly string[];
  /** What keeps a scope alive until the first of them is in. */
  readonly holder?: ScopeHolder;
}

interface Making {
  /** With a parent that the pod named. */
  readonly strict: boolean;
  /** Processes and threads in the Box's own group at most; undefined: no limit. */
  readonly processes: number | undefined;
  readonly log: Logger;
}

/** Makes the groups of a plan, by who is to make them. Undoes itself. */
export async function createBoxCgroup(
  plan: CgroupPlan,
  { signal, ...making }: Making & { readonly signal: AbortSignal },
): Promise<BoxCgroup> {
  if (plan.slice === undefined) return await makeByHand(plan, making);
  const name = basename(plan.path);
  const { slice, hierarchies } = plan;
  const { processes } = making;
  const holder = await startScope({ name, slice, hierarchies, processes, description: "Pod of a3s-box" }, signal);
  try {
    const procs: string[] = [];
    for (const hierarchy of hierarchies) {
      await makeInScope(hierarchy, plan, holder);
      const counts = hierarchy.version === 2 || hierarchy.controllers.length > 0 || hierarchy.name === "systemd";
      if (counts) procs.push(join(hierarchy.mountPoint, plan.leaf, "cgroup.procs"));
    }
    return { path: plan.path, directories: plan.directories, procs, holder };
  } catch (cause) {
    holder.end(); // and with it the scope
    throw new RuntimeError("internal", `make cgroup ${plan.path}: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Of cgroup v2 only what is below the scope is ours, and it hands its controllers down once no process is in itself
 * (cgroups(7), "no internal processes").
 */
async function makeInScope(hierarchy: CgroupHierarchy, { path, leaf }: CgroupPlan, holder: ScopeHolder): Promise<void> {
  if (hierarchy.version === 1) {
    await makeGroup(hierarchy, leaf);
  } else if (leaf !== path) {
    const directory = join(hierarchy.mountPoint, leaf);
    await mkdir(directory, { mode: 0o755 });
    await writeFile(join(directory, "cgroup.procs"), String(holder.pid), { flag: "r+" });
    await delegateControllers(dirname(directory));
  }
}

/**
 * With a parent that the pod named (`strict`) a failure is one; with our own, a hierarchy that can't be written is left
 * out with a warning.
 */
async function makeByHand(plan: CgroupPlan, { strict, processes, log }: Making): Promise<BoxCgroup> {
  const procs: string[] = [];
  for (const hierarchy of plan.hierarchies) {
    try {
      // Once more when the parent went between two steps: the last Box in it takes it along.
      await makeGroup(hierarchy, plan.leaf).catch(() => makeGroup(hierarchy, plan.leaf));
      await limitProcesses(join(hierarchy.mountPoint, plan.leaf), processes);
      const isAccount = plan.everywhere || hierarchy.version === 2 || hierarchy.controllers.length > 0;
      if (isAccount) procs.push(join(hierarchy.mountPoint, plan.leaf, "cgroup.procs"));
    } catch (cause) {
      const message = `make cgroup ${plan.path} in ${hierarchy.mountPoint}: ${messageOf(cause)}`;
      if (strict) {
        for (const directory of plan.directories) await rmdir(directory).catch(() => undefined);
        throw new RuntimeError("internal", message, { cause });
      }
      log.warn({ hierarchy: hierarchy.mountPoint, err: messageOf(cause) }, "no cgroup for this Box here");
    }
  }
  return { path: plan.path, directories: plan.directories, procs };
}
