/**
 * A project quota for what is in a container's directory. Which project that is the directory itself knows
 * (FS_IOC_FSGETXATTR): nothing else is on record, and a project whose directory has gone counts nothing.
 */
import { randomInt } from "node:crypto";
import { errnoOf, RuntimeError } from "../../../base/errors.js";
import type { Native } from "../../../native/addon.js";
import { inodesOf } from "./bound.js";

type QuotaNative = Pick<Native, "boundsProjects" | "setProject" | "projectOf" | "limitProject" | "nextProject">;

/** Above what others begin to count from: projects(5) from 1, kubelet from 1048577, Docker from the least that is free. */
const firstProject = 0x4000_0000;
const projects = 0x1000_0000;
const attempts = 16;
/** More would be a start that does nothing else. */
const mostSwept = 100_000;

/** The directory is empty, and what is made in it from now on counts. */
export async function boundByQuota(native: QuotaNative, directory: string, bytes: bigint): Promise<void> {
  const id = await assign(native, directory);
  await native.limitProject(directory, id, bytes, inodesOf(bytes));
}

/** Of a directory, before it goes; undefined where it has none of ours. */
export async function projectOf(native: QuotaNative, directory: string): Promise<number | undefined> {
  try {
    const id = await native.projectOf(directory);
    return isOurs(id) ? id : undefined;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP") return undefined;
    throw thrown;
  }
}

/** What was its directory's has gone; `directory`: any of the same file system. */
export async function giveBackProject(native: QuotaNative, directory: string, id: number): Promise<void> {
  await native.limitProject(directory, id, 0n, 0n);
}

/**
 * Projects whose directory has gone while nobody was there to give them back. One that is in use has its directory at
 * least: it gets that before its limit, so also another daemon's is left alone.
 */
export async function sweepProjects(native: QuotaNative, directory: string): Promise<void> {
  if (!(await native.boundsProjects(directory))) return;
  let from = firstProject;
  for (let seen = 0; seen < mostSwept; seen++) {
    const use = await native.nextProject(directory, from);
    if (use === null || !isOurs(use.id)) return;
    const limited = use.maxBytes > 0n || use.maxInodes > 0n;
    if (use.inodes === 0n && limited) await giveBackProject(native, directory, use.id);
    from = use.id + 1;
  }
}

/** One that nothing is on record of: by lot, since others may be looking for one. */
async function assign(native: QuotaNative, directory: string): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const id = firstProject + randomInt(projects);
    if (await isKnown(native, directory, id)) continue;
    await native.setProject(directory, id);
    const use = await native.nextProject(directory, id);
    if (use?.id === id && use.inodes === 1n) return id; // and nobody else has taken it meanwhile
  }
  throw new RuntimeError("resourceExhausted", "no project quota is free on the file system of the image store");
}

async function isKnown(native: QuotaNative, directory: string, id: number): Promise<boolean> {
  const use = await native.nextProject(directory, id);
  return use?.id === id && (use.inodes > 0n || use.bytes > 0n || use.maxBytes > 0n || use.maxInodes > 0n);
}

function isOurs(id: number): boolean {
  return id >= firstProject && id < firstProject + projects;
}
