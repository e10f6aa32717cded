/**
 * Ids of the host that are one Box's. Each is made of the Box's own id: who knows that knows them, also after the daemon
 * has started again. Nobody hands them out (systemd's table, docs/UIDS-GIDS), and nothing on the host belongs to them.
 */
import type { SandboxId } from "../base/ids.js";
import type { OwnerMap } from "../native/addon.js";

const firstVmmUser = 0x7000_0000;
const vmmUsers = 0x0ff0_0000;
/** Two Boxes of a thousand have the same one once in 4000 machines; they then share one limit of processes. */
const firstServerRoot = 0x8000_0000;
const serverRoots = 0x7fff_0000;
/** The last number is none (-1). */
const allIds = 0xffff_ffff;

/** What QEMU runs as. */
export function vmmUserOf(id: SandboxId): number {
  return firstVmmUser + (numberOf(id) % vmmUsers);
}

/** What root of the Box's user namespace is, in which its file server runs. */
export function serverRootOf(id: SandboxId): number {
  return firstServerRoot + (numberOf(id) % serverRoots);
}

function numberOf(id: SandboxId): number {
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
