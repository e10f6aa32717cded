/** Where a container writes, held to a bound where it has one: made with its directory, and gone with it. */
import { realpath } from "node:fs/promises";
import { errnoOf, RuntimeError } from "../../../base/errors.js";
import { mountsBelow, readMountinfo } from "../../../base/mountinfo.js";
import type { Native } from "../../../native/addon.js";
import type { BoundBy, WritableBound } from "./bound.js";
import { diskFilePath, diskPath, makeDiskFile, unmountDisk } from "./disk-file.js";
import { boundByQuota, giveBackProject, projectOf } from "./project-quota.js";

/** What a bound of that kind would be by, for a directory of that file system. */
export async function boundFor(
  native: Pick<Native, "boundsProjects">,
  directory: string,
  wanted: WritableBound["by"],
): Promise<"quota" | "file"> {
  if (wanted === "file") return "file";
  if (await native.boundsProjects(directory)) return "quota";
  if (wanted === "auto") return "file";
  throw new RuntimeError("failedPrecondition", `the file system of ${directory} has no project quotas turned on`, {
    hint: 'mount it with prjquota (ext4 needs the features project and quota too), or bound disks by files ("auto")',
  });
}

/** `container`: its directory, which is empty. */
export async function makePlace(
  native: Native,
  container: string,
  bound: WritableBound | undefined,
  signal: AbortSignal,
): Promise<BoundBy> {
  if (bound === undefined) return "none";
  const boundBy = await boundFor(native, container, bound.by);
  if (boundBy === "file") await makeDiskFile(native, container, bound.bytes, signal);
  else await boundByQuota(native, container, bound.bytes);
  return boundBy;
}

/** The directory of the trees, by the container's. */
export function placeIn(container: string, boundBy: BoundBy): string {
  return boundBy === "file" ? diskPath(container) : container;
}

/** A container's directory, or one that such are in, with what is mounted there, and what bounds it. */
export async function removePlace(native: Native, directory: string, parent: string): Promise<void> {
  const project = await projectOf(native, directory);
  await native.abandonFileDisk(diskFilePath(directory));
  await unmountDisk(native, directory);
  try {
    await native.removeTree(directory);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EBUSY") throw thrown;
    // A process died while it made a container in there.
    const mounts = mountsBelow(await readMountinfo(), await realpath(directory));
    for (const mount of mounts) await native.unmount(mount, true);
    await native.removeTree(directory);
  }
  if (project !== undefined) await giveBackProject(native, parent, project);
}
