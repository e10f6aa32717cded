import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { monotonicMs } from "../base/clock.js";
import { cgroupHierarchies, delegateControllers, makeGroup, type CgroupHierarchy } from "../base/cgroups.js";
import { RuntimeError, errnoOf, isNotFound, messageOf } from "../base/errors.js";
import type { SandboxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { sleep } from "../base/stage.js";
import { readMountinfo, type MountLine } from "../base/mountinfo.js";
import { isThere } from "../base/is-there.js";
import { slicePath, sliceOf } from "./systemd/slice-path.js";
import { startScope, type ScopeHolder } from "./systemd/start-scope.js";

/** Parent of Boxes whose sandbox names none. */
export const ownCgroupParent = "/a3s-box";
const removeRetryMs = 20;
const managerRemovesMs = 5_000;

/**
 * Who makes the groups. cgroupfs: the daemon, by mkdir. systemd: it makes a scope for the Box and delegates it, the daemon
 * makes what is below.
 */
export type CgroupManager = "cgroupfs" | "systemd";

function boxGroupName(id: SandboxId, manager: CgroupManager): string {
  return manager === "cgroupfs" ? id : `a3s-box-${id}.scope`;
}

/** A folder of the Box's own group, whoever made it. */
export function isBoxGroup(folder: string, id: SandboxId): boolean {
  const name = basename(folder);
  return name === boxGroupName(id, "cgroupfs") || name === boxGroupName(id, "systemd");
}

/**
 * "leaf": the Box's processes live in its group. "parent": groups of containers come to be below it, in every hierarchy,
 * and the Box's own process lives in one beside them (cgroups(7), "no internal processes").
 */
export type GroupUse = "leaf" | "parent";
/** Where the Box's own process lives then. */
const ownLeaf = "agent";

/** The groups of one Box. */
export interface BoxCgroup {
  /** Of the Box's group, below the root of each hierarchy. */
  readonly path: string;
  /** Folders that were made, deepest first in each hierarchy: the Box's own, then parents that were not there. */
  readonly folders: readonly string[];
  /** The `cgroup.procs` files that the Box's processes write themselves into. */
  readonly procs: readonly string[];
  /** What keeps a scope alive until the first of them is in. */
  readonly holder?: ScopeHolder;
}

/** cgroups(7): cgroup.kill came with Linux 5.14. */
const leastKernel = [5, 14] as const;

/**
 * Throws `failedPrecondition` where pods of the host can't be: what kills and tracks their containers is cgroup v2. It may
 * be empty (hybrid): the limits are then those of v1.
 */
export function requireUnifiedCgroup(mounts: readonly MountLine[], kernelRelease: string): void {
  const stageName = "open native driver";
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  if (major < leastKernel[0] || (major === leastKernel[0] && minor < leastKernel[1])) {
    const hint = 'boot a newer kernel, or take the handlers with driver = "native" out of the configuration';
    throw new RuntimeError(
      "failedPrecondition",
      `Linux ${kernelRelease} has no cgroup.kill: 5.14 is the first with it`,
      {
        stage: stageName,
        hint,
      },
    );
  }
  if (mounts.some(({ type }) => type === "cgroup2")) return;
  throw new RuntimeError("failedPrecondition", "cgroup v2 is not mounted: this host has cgroup v1 alone", {
    stage: stageName,
    hint:
      "boot with systemd.unified_cgroup_hierarchy=1, or beside v1: mkdir /sys/fs/cgroup/unified, then " +
      "mount -t cgroup2 none /sys/fs/cgroup/unified",
  });
}

/** What limits can be set to on this host. */
export interface LimitFacts {
  /** All controllers are those of cgroup v2. */
  readonly isUnified: boolean;
  readonly hugePages: boolean;
}

export async function limitFacts(): Promise<LimitFacts> {
  const mounts = await readMountinfo();
  const unified = mounts.find(({ type }) => type === "cgroup2")?.target ?? "";
  const now = (await readFile(join(unified, "cgroup.controllers"), "utf8").catch(() => "")).trim().split(" ");
  return limitFactsOf(mounts, now);
}

/** With both versions mounted runc sets limits in v1 alone, though v2 has what no hierarchy of v1 has taken. */
export function limitFactsOf(
  mounts: readonly Pick<MountLine, "type" | "superOptions">[],
  unifiedControllers: readonly string[],
): LimitFacts {
  const old = mounts.filter(({ type }) => type === "cgroup").flatMap(({ superOptions }) => superOptions);
  const isUnified = !old.includes("memory");
  return { isUnified, hugePages: (isUnified ? unifiedControllers : old).includes("hugetlb") };
}

/** The parent as an absolute path below each hierarchy, where no systemd has it. */
export function cgroupParentPath(parent: string): string {
  const path = posix.normalize(`/${parent}`);
  if (parent.split("/").includes("..") || parent.includes("\0")) {
    throw new RuntimeError("invalidArgument", `cgroup parent "${parent}" must not contain ".."`);
  }
  return path === "/" ? ownCgroupParent : path.replace(/\/$/, "");
}

/** What will be made, and in which hierarchies: written down before it is made, so that a crash leaves a trail. */
export interface CgroupPlan {
  /** Of the Box's group. */
  readonly path: string;
  /** Of the one that its processes live in. */
  readonly leaf: string;
  readonly hierarchies: readonly CgroupHierarchy[];
  readonly folders: readonly string[];
  /** Under systemd: the slice of the scope that `path` is. */
  readonly slice?: string;
}

export async function planBoxCgroup(
  parent: string,
  id: SandboxId,
  use: GroupUse,
  manager: CgroupManager,
): Promise<CgroupPlan> {
  const slice = manager === "systemd" ? sliceOf(parent) : undefined;
  const path = `${slice === undefined ? cgroupParentPath(parent) : slicePath(slice)}/${boxGroupName(id, manager)}`;
  const leaf = use === "leaf" ? path : `${path}/${ownLeaf}`;
  const hierarchies = cgroupHierarchies(await readMountinfo(), use === "parent" || slice !== undefined);
  const folders: string[] = [];
  for (const hierarchy of hierarchies) {
    const { mountPoint } = hierarchy;
    const top = slice !== undefined && isManagers(hierarchy) ? join(mountPoint, slicePath(slice)) : mountPoint;
    for (let folder = join(mountPoint, leaf); folder !== top; folder = dirname(folder)) {
      if (!(await isThere(folder))) folders.push(folder);
    }
  }
  return { path, leaf, hierarchies, folders, ...(slice === undefined ? {} : { slice }) };
}

/** systemd has groups of its units there; in the other v1 hierarchies nobody has but who makes them. */
function isManagers({ version, controllers, name }: CgroupHierarchy): boolean {
  return version === 2 || name === "systemd" || controllers.some((one) => one !== "cpuset");
}

/** Makes the groups of a plan, by who is to make them. Undoes itself. */
export async function createBoxCgroup(
  plan: CgroupPlan,
  { strict, log, signal }: { readonly strict: boolean; readonly log: Logger; readonly signal: AbortSignal },
): Promise<BoxCgroup> {
  if (plan.slice === undefined) return await makeByHand(plan, strict, log);
  const name = basename(plan.path);
  const { slice, hierarchies } = plan;
  const holder = await startScope({ name, slice, hierarchies, description: "Pod of a3s-box" }, signal);
  try {
    const procs: string[] = [];
    for (const hierarchy of hierarchies) {
      await makeInScope(hierarchy, plan, holder);
      const counts = hierarchy.version === 2 || hierarchy.controllers.length > 0 || hierarchy.name === "systemd";
      if (counts) procs.push(join(hierarchy.mountPoint, plan.leaf, "cgroup.procs"));
    }
    return { path: plan.path, folders: plan.folders, procs, holder };
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
    const folder = join(hierarchy.mountPoint, leaf);
    await mkdir(folder, { mode: 0o755 });
    await writeFile(join(folder, "cgroup.procs"), String(holder.pid), { flag: "r+" });
    await delegateControllers(dirname(folder));
  }
}

/**
 * With a parent that the sandbox named (`strict`) a failure is one; with our own, a hierarchy that can't be written is left
 * out with a warning.
 */
async function makeByHand(plan: CgroupPlan, strict: boolean, log: Logger): Promise<BoxCgroup> {
  const procs: string[] = [];
  for (const hierarchy of plan.hierarchies) {
    try {
      // Once more when the parent went between two steps: the last Box in it takes it along.
      await makeGroup(hierarchy, plan.leaf).catch(() => makeGroup(hierarchy, plan.leaf));
      const isAccount = hierarchy.version === 2 || hierarchy.controllers.length > 0;
      if (isAccount) procs.push(join(hierarchy.mountPoint, plan.leaf, "cgroup.procs"));
    } catch (cause) {
      const message = `make cgroup ${plan.path} in ${hierarchy.mountPoint}: ${messageOf(cause)}`;
      if (strict) {
        for (const folder of plan.folders) await rmdir(folder).catch(() => undefined);
        throw new RuntimeError("internal", message, { cause });
      }
      log.warn({ hierarchy: hierarchy.mountPoint, err: messageOf(cause) }, "no cgroup for this Box here");
    }
  }
  return { path: plan.path, folders: plan.folders, procs };
}

/**
 * Kills what is left in a Box's groups and removes them; parents go only when they are empty. Success for groups that
 * are not there. Throws when a group of the Box stays in use until the signal aborts.
 */
export async function removeBoxCgroup(folders: readonly string[], id: SandboxId, signal: AbortSignal): Promise<void> {
  const own = folders.filter((folder) => isBoxGroup(folder, id));
  for (const folder of own) await killGroup(folder);
  const scopes = own.filter((folder) => folder.endsWith(".scope"));
  if (scopes.length > 0) await goneByThemselves(scopes, signal);
  for (const folder of own) await removeGroup(folder, signal);
  for (const folder of folders) {
    if (!own.includes(folder)) await rmdir(folder).catch(() => undefined); // another Box may live there
  }
}

/**
 * systemd removes a scope's groups when it has seen them empty, and misses that when they go before it has looked: the
 * unit would stay. Where it does not (v1 hierarchies that are not its own, a systemd that hangs) they are removed by hand.
 */
async function goneByThemselves(folders: readonly string[], signal: AbortSignal): Promise<void> {
  const endMs = monotonicMs() + managerRemovesMs;
  while (monotonicMs() < endMs && !signal.aborted) {
    const there = await Promise.all(folders.map(isThere));
    const watched = folders.filter((folder, index) => there[index] === true && isWatched(folder));
    if (watched.length === 0) return;
    await sleep(removeRetryMs, signal).catch(() => undefined);
  }
}

/** Of cgroup v2, or of systemd's own hierarchy of v1: by the last folder's files, as the mounts may have changed. */
function isWatched(folder: string): boolean {
  return existsSync(join(folder, "cgroup.events")) || folder.startsWith("/sys/fs/cgroup/systemd/");
}

async function killGroup(folder: string): Promise<void> {
  try {
    await writeFile(join(folder, "cgroup.kill"), "1", { flag: "r+" });
    return;
  } catch {
    // v1, or before Linux 5.14: one by one
  }
  const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of text.split("\n").map(Number)) {
    if (Number.isInteger(pid) && pid > 1) killPid(pid);
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw thrown;
  }
}

async function removeGroup(folder: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await removeWithSubGroups(folder);
      return;
    } catch (thrown) {
      if (isNotFound(thrown) && !(await isThere(folder))) return;
      if (errnoOf(thrown) !== "EBUSY" && !isNotFound(thrown)) throw thrown; // systemd removes its scopes' groups too
      if (signal.aborted) throw new RuntimeError("internal", `cgroup ${folder} is still in use`, { cause: thrown });
    }
    await sleep(removeRetryMs, signal).catch(() => undefined);
    await killGroup(folder);
  }
}

/** rmdir takes no group that has others below it. */
async function removeWithSubGroups(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeWithSubGroups(join(folder, entry.name));
  }
  await rmdir(folder);
}
