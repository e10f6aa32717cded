/**
 * The paths of a Box's share, on the host and as its agent sees them, and what the agent has beside them in a guest. Nobody
 * else builds one. The agent's side of it is guest/agent/src/layout.rs; a test compares the two.
 */
import { basename, dirname, join } from "node:path";
import type { DriverName, SharedPath } from "../box.js";

/** Where an entry goes: container roots and volumes. */
export type Area = "c" | "v";
export const areas: readonly Area[] = ["c", "v"];

/** By the names that the agent has for them. */
export const guestLayout = {
  ROOTS: "/c/",
  VOLUMES: "/v/",
  /** The guest base's programs. */
  PROGRAMS: "/base/bin",
  /** The pod's shared memory; the agent makes it when the pod is configured. */
  SHM: "/run/a3s/shm",
  /** Copies of volumes, by the volumes' names. */
  MIRRORS: "/run/mirrors",
  /** Roots that the agent lays over their layers, by the sessions' names. */
  LAYERED_ROOTS: "/run/roots/",
} as const;

/** The agent's binary. */
export const guestInit = `${guestLayout.PROGRAMS}/agent`;

/** A volume that no guest has: for questions whose answer is that it is not there. */
export const noVolume = `${guestLayout.VOLUMES}none`;

export function guestPathOf(area: Area, name: string): string {
  return `${area === "c" ? guestLayout.ROOTS : guestLayout.VOLUMES}${name}`;
}

/** Of a volume that is in a guest's share. */
export function volumeAt(hostPath: string): SharedPath {
  return { hostPath, guestPath: guestPathOf("v", basename(hostPath)) };
}

/** Where in the guest the copy of a volume is. */
export function mirrorOf({ guestPath }: Pick<SharedPath, "guestPath">): string {
  return `${guestLayout.MIRRORS}/${guestPath.slice(guestLayout.VOLUMES.length)}`;
}

/** Where in the guest a root of layers is, by its session. */
export function layeredRootOf(session: string): string {
  return `${guestLayout.LAYERED_ROOTS}${session}`;
}

/**
 * Whether what a container writes into a root of layers can lie in the share of such a Box: libkrun's file server makes files with
 * no more rights than their owner has, who can't enter an overlay's own directory.
 */
export function servesLayeredRoots(driver: DriverName): boolean {
  return driver === "qemu";
}

/** In the guest base, of a Box that has no pod yet: a layer as images' are, an EROFS file, with the agent in it. */
export const rehearsalLayer = "usr/share/rehearsal.erofs";

/** What the names of volumes begin with that have what containers write into roots of layers. */
export const writtenPrefix = "written";

/** Whether an entry of a share has what a container writes into its root: it is the root, or that part of one. */
export function isWrittenRoot(hostPath: string): boolean {
  const [root, volume]: [Area, Area] = ["c", "v"];
  const area = basename(dirname(hostPath));
  return area === root || (area === volume && basename(hostPath).startsWith(`${writtenPrefix}-`));
}

/** The entry of a share that a path of the host is; undefined for any other path. */
export function entryAt(share: string, hostPath: string): { readonly area: Area; readonly name: string } | undefined {
  const name = basename(hostPath);
  const area = areas.find((one) => one === basename(dirname(hostPath)));
  return area === undefined || name === ".." || hostPath !== join(share, area, name) ? undefined : { area, name };
}
