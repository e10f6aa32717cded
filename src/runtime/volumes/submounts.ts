/** Mounts of the host below a volume whose containers are to see them come and go (HostToContainer, docs/adr/0051). */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, relative } from "node:path";
import { errnoOf, isNotFound } from "../../base/errors.js";
import { isBelow, type MountLine } from "../../base/mountinfo.js";
import type { Native } from "../../native/addon.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import type { MountSpec } from "../container/container-spec.js";
import { isProjected } from "./projected.js";

/** Below one volume. The agent holds a descriptor of each. */
export const maxSubmounts = 512;

/** One mount of the host, relative to the source of the volume that it is below. */
export interface Submount {
  readonly at: string;
  /** As the kernel numbers it, for as long as it is mounted. */
  readonly mountId: number;
  /** 16 hex digits: of the same directory of the same file system at the same place. */
  readonly key: string;
}

/** What a volume's mounts are looked for by; on the host. */
export interface FollowedVolume {
  readonly place: SharedPath;
  readonly source: string;
}

/**
 * HostToContainer, of a directory. Not of a volume that kubelet swaps as a whole: nothing is mounted in one. What is mounted
 * below at the creation is seen without it.
 */
export async function wantsLaterMounts(mount: MountSpec, source: string): Promise<boolean> {
  if (mount.propagation !== "hostToContainer") return false;
  if (!(await stat(source)).isDirectory()) return false;
  return !(mount.readonly && (await isProjected(source)));
}

/**
 * Not to go through a file server: a mount that nothing has been looked up in yet, and namespaces, which a copy of their
 * file would keep alive.
 */
const leftOut: ReadonlySet<string> = new Set(["autofs", "nsfs"]);

/**
 * Parents first; of several on one directory the last. `own`: directories of this daemon, whose mounts are the Boxes' and their
 * images'.
 */
export function submountsOf(mounts: readonly MountLine[], source: string, own: readonly string[]): Submount[] {
  const found = new Map<string, Submount>();
  for (const { mountId, device, root, target, type } of mounts) {
    if (target === source || !isBelow(target, source) || leftOut.has(type)) continue;
    if (own.some((directory) => isBelow(target, directory))) continue;
    const at = relative(source, target);
    found.set(at, { at, mountId, key: digest([at, device, root]) });
  }
  return [...found.values()].sort((left, right) => (left.at < right.at ? -1 : 1));
}

/** How the names of a volume's submounts begin in the share. */
export function submountPrefix(placeOnHost: string): string {
  return `late-${digest([basename(placeOnHost)]).slice(0, 8)}-`;
}

export function submountName(place: SharedPath, { key }: Submount): string {
  return `${submountPrefix(place.hostPath)}${key}`;
}

/**
 * Puts a submount into the share, on its own: a private copy of the mount, so that the host's can be unmounted at any time.
 * Containers may write on the way to it, so what is found there must be that mount; undefined when it is not, or not any
 * more.
 */
export async function shareSubmount(
  box: Box,
  { place, source }: FollowedVolume,
  submount: Submount,
  native: Native,
): Promise<SharedPath | undefined> {
  const opened = await openEither(source, submount.at, native);
  if (opened === undefined) return undefined;
  const { fd, isDirectory } = opened;
  try {
    const info = await readFile(`/proc/self/fdinfo/${fd}`, "utf8");
    if (/^mnt_id:\s*(\d+)$/m.exec(info)?.[1] !== String(submount.mountId)) return undefined;
    return await box.shareMount(submountName(place, submount), `/proc/self/fd/${fd}`, isDirectory);
  } finally {
    await native.closeFd(fd);
  }
}

/** A directory or a file; undefined when it is not there. What is mounted there is not asked for anything. */
async function openEither(
  source: string,
  at: string,
  native: Native,
): Promise<{ readonly fd: number; readonly isDirectory: boolean } | undefined> {
  const open = (more: number): Promise<number> =>
    native.openIn(source, at, pathOnly | constants.O_NOFOLLOW | more, 0, "beneath");
  try {
    return { fd: await open(constants.O_DIRECTORY), isDirectory: true };
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    if (errnoOf(thrown) !== "ENOTDIR") throw thrown;
  }
  try {
    return { fd: await open(0), isDirectory: false };
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

function digest(facts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}

/** O_PATH, which Node has no name for: nothing is opened, a device neither. */
export const pathOnly = 0o10000000;
