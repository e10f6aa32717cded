/** Groups of Boxes in which nothing runs: what a daemon leaves whose directories went before its Boxes did. */
import { readdir, readFile, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { cgroupHierarchies } from "../../base/cgroups.js";
import type { Logger } from "../../base/log.js";
import { readMountinfo, type MountLine } from "../../base/mountinfo.js";
import { namesIn } from "../../base/names-in.js";
import { ownSlice, poolSlice, slicePath } from "../systemd/slice-path.js";
import { ownCgroupParent, poolCgroupParent } from "./plan.js";

const sandboxGroup = /^(?:[0-9a-f]{64}|a3s-(?:box|pool)-[0-9a-f]{64}\.scope)$/;
/** systemd takes its scopes away itself. */
const handMadeGroup = /^[0-9a-f]{64}$/;

/** A group without a process that is older is of no creation that is under way, another daemon's neither. */
const creationMs = 180_000;

/** Where groups of Boxes are whose pods name no parent, in every hierarchy: those of the host's pods are in all of v1's. */
export function ownParentsIn(mounts: readonly MountLine[]): string[] {
  const own = [ownCgroupParent, slicePath(ownSlice), poolCgroupParent, slicePath(poolSlice)];
  return cgroupHierarchies(mounts, true).flatMap(({ mountPoint }) => own.map((path) => join(mountPoint, path)));
}

/**
 * Groups without a process, in them or below, that are named by a sandbox's id, beside the given ones or below those
 * that are no sandbox's. One with processes may be another daemon's: its processes tell.
 */
export async function emptyGroupsBeside(paths: readonly string[]): Promise<string[]> {
  const parents = new Set(paths.map((path) => (sandboxGroup.test(basename(path)) ? dirname(path) : path)));
  const found: string[] = [];
  for (const parent of parents) {
    for (const name of await namesIn(parent)) {
      const path = join(parent, name);
      if (sandboxGroup.test(name) && (await isEmpty(path))) found.push(path);
    }
  }
  return found.sort();
}

/**
 * Removes empty groups of usual parents whose Box is none of those that have a directory, by the names of these (the first
 * digits of an id). Those of a creation stay, by their age, and those that are in use in any hierarchy.
 */
export async function sweepEmptyGroups(boxes: readonly string[], log: Logger): Promise<void> {
  const unknown = new Map<string, string[]>();
  for (const parent of ownParentsIn(await readMountinfo())) {
    for (const name of await namesIn(parent)) {
      if (!handMadeGroup.test(name) || boxes.some((box) => name.startsWith(box))) continue;
      unknown.set(name, [...(unknown.get(name) ?? []), join(parent, name)]);
    }
  }
  for (const paths of unknown.values()) {
    const isLeft = await Promise.all(paths.map(async (path) => (await isSettled(path)) && (await isEmpty(path))));
    if (isLeft.includes(false)) continue;
    for (const path of paths) {
      await removeEmpty(path).then(
        () => {
          log.warn({ cgroup: path }, "removed an empty cgroup that no record names");
        },
        () => undefined, // another daemon has taken it away, or has it back
      );
    }
  }
}

async function isEmpty(group: string): Promise<boolean> {
  const processes = await readFile(join(group, "cgroup.procs"), "utf8").catch(() => "it has gone");
  if (processes !== "") return false;
  for (const below of await groupsIn(group)) if (!(await isEmpty(below))) return false;
  return true;
}

async function isSettled(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && Date.now() - stats.mtimeMs > creationMs;
}

async function removeEmpty(group: string): Promise<void> {
  for (const below of await groupsIn(group)) await removeEmpty(below);
  await rmdir(group);
}

async function groupsIn(group: string): Promise<string[]> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(group, name));
}
