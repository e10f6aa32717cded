/**
 * What is one Box's and made of its id: who knows that knows it, also after the daemon has started again. Nobody hands the
 * ids of the host out (systemd's table, docs/UIDS-GIDS), and nothing on the host belongs to them.
 */
import type { BoxId } from "../base/ids.js";
import type { OwnerMap } from "../native/addon.js";
import { ownMappedRanges, rangeWithin, type IdRange } from "./id-range.js";

const usualVmmUsers: IdRange = { first: 0x7000_0000, count: 0x0ff0_0000 };
/** In a container with a user namespace there are no such ids: the kernel takes none that it does not map. */
const vmmUsers = rangeWithin(usualVmmUsers, ownMappedRanges());
/** Two Boxes of a thousand have the same one once in 4000 machines; they then share one limit of processes. */
const firstServerRoot = 0x8000_0000;
const serverRoots = 0x7fff_0000;
/** The last number is none (-1). */
const allIds = 0xffff_ffff;

/** What QEMU runs as. */
export function vmmUserOf(id: BoxId): number {
  const { first, count } = vmmUsers ?? usualVmmUsers;
  return first + (numberOf(id) % count);
}

/** Of Boxes; undefined where this process's user namespace has none for them. */
export function vmmUserRange(): IdRange | undefined {
  return vmmUsers;
}

/** What root of the Box's user namespace is, in which its file server runs. */
export function serverRootOf(id: BoxId): number {
  return firstServerRoot + (numberOf(id) % serverRoots);
}

/**
 * MAC of its network device, until the network gives it another: locally administered, unicast (IEEE 802, the two low bits
 * of the first byte).
 */
export function deviceMacOf(id: BoxId): string {
  const digits = `02${id.slice(0, 10)}`;
  return digits.match(/../g)?.join(":") ?? "";
}

/** The same of every Box that goes on from a template: it is of the machine's state, and the pod's network gives another. */
export const templateMac = "02:a3:5b:00:00:01";

function numberOf(id: BoxId): number {
  return Number.parseInt(id.slice(0, 12), 16);
}

/**
 * Of that namespace: root is another user of the host, everybody else is himself. Volumes that can't be mapped (NFS, FUSE)
 * are so still served to all but root; and the place of the one that root is has nobody.
 */
export function movedRoot(root: number): OwnerMap {
  return {
    extents: [
      { inside: 0, outside: root, count: 1 },
      { inside: 1, outside: 1, count: root - 1 },
      { inside: root + 1, outside: root + 1, count: allIds - root - 1 },
    ],
  };
}
