/** Whether mounts of this machine can show other owners than the disk has: found out by making such mounts. */
import { mkdir } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../base/errors.js";
import type { Native, OwnerMap } from "../../native/addon.js";
import { movedRoot } from "../box-ids.js";

/** Whether file servers run in user namespaces of their own. */
export type OwnersVerdict = { readonly mapped: true } | { readonly mapped: false; readonly why: string };

type Mounts = Pick<
  Native,
  "bindMount" | "closeFd" | "mountOverlay" | "mountTmpfs" | "openUserNamespace" | "removeTree" | "unmount"
>;

export interface ProbedDirectories {
  readonly native: Mounts;
  /** Where Boxes' shares are. */
  readonly state: string;
  /** On the file system that has images' layers and containers' trees. */
  readonly layers: string;
  /** Of what is made in both while it is tried. */
  readonly name: string;
}

const flags = { readonly: false, nosuid: true, nodev: true };
const tmpfsBytes = 64 * 1024;
/** Any one: nothing is left that belongs to it. */
const ids = movedRoot(0x8000_0000);

/**
 * All of it has to work: kubelet's Secrets and tokens lie on a tmpfs, with files for root alone, which a file server that is
 * not the host's root can't read where they are not mapped (Linux before 6.3).
 */
export async function probeOwners({ native, state, layers, name }: ProbedDirectories): Promise<OwnersVerdict> {
  try {
    await native.closeFd(await native.openUserNamespace(ids));
  } catch (thrown) {
    const limit = errnoOf(thrown) === "ENOSPC" ? " (sysctl user.max_user_namespaces)" : "";
    return { mapped: false, why: `no user namespace can be made here${limit}: ${messageOf(thrown)}` };
  }
  const tries: [what: string, directory: string, attempt: (place: Place) => Promise<void>][] = [
    ["a tmpfs", state, (place) => tryTmpfs(place, native)],
    [`the file system of ${state}`, state, (place) => tryBind(place, native)],
    [`containers' trees in ${layers}`, layers, (place) => tryOverlay(place, native, ids, true)],
  ];
  for (const [what, directory, attempt] of tries) {
    try {
      await inDirectory(join(directory, name), native, attempt);
    } catch (thrown) {
      return { mapped: false, why: `Linux ${release()} does not map the owners of ${what}: ${messageOf(thrown)}` };
    }
  }
  return { mapped: true };
}

/** A path in the directory where something is tried. */
type Place = (name: string) => string;

/** Makes a directory for it; what a daemon left there that was killed meanwhile goes first. */
export async function inDirectory(
  directory: string,
  native: Mounts,
  attempt: (place: Place) => Promise<void>,
): Promise<void> {
  const discard = async (): Promise<void> => {
    for (const mounted of ["merged", "to", "from"]) await native.unmount(join(directory, mounted), true);
    await native.removeTree(directory);
  };
  await discard();
  try {
    await mkdir(directory, { mode: 0o700 });
    await attempt((name) => join(directory, name));
  } finally {
    await discard();
  }
}

async function tryTmpfs(place: Place, native: Mounts): Promise<void> {
  await mkdir(place("from"), { mode: 0o700 });
  await native.mountTmpfs(place("from"), tmpfsBytes, 0o700);
  await tryBind(place, native);
}

async function tryBind(place: Place, native: Mounts): Promise<void> {
  for (const name of ["from", "to"]) await mkdir(place(name), { recursive: true, mode: 0o700 });
  await native.bindMount(place("from"), place("to"), false, flags, { ids, follows: false });
}

export async function tryOverlay(place: Place, native: Mounts, shown: OwnerMap, mapsUpper: boolean): Promise<void> {
  for (const name of ["lower", "upper", "work", "merged"]) await mkdir(place(name), { mode: 0o700 });
  const mount = { lowers: [place("lower")], upper: place("upper"), work: place("work"), target: place("merged") };
  await native.mountOverlay({ ...mount, flags, index: true, ids: shown, mapsUpper });
}
