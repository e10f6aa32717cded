/** How much a container may write, and what holds it to that. */

/** To its root and to what its image declares as volumes, together. */
export interface WritableBound {
  readonly bytes: bigint;
  /** A project quota of the store's file system, a file of that size, or the first of the two that is possible there. */
  readonly by: "auto" | "quota" | "file";
}

/** What holds it. */
export type BoundBy = "none" | "quota" | "file";

/** Smaller disks have more small files, as mke2fs(8) has it. */
const smallBytes = 512n * 1024n * 1024n;
const bytesPerInode = 16_384n;
const bytesPerInodeOfSmall = 4_096n;

/** Files and directories that a disk of that size may hold. */
export function inodesOf(bytes: bigint): bigint {
  return bytes / (bytes < smallBytes ? bytesPerInodeOfSmall : bytesPerInode);
}
