import { constants } from "node:fs";
import { relative } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { mountsBelow, type MountLine } from "../../base/mountinfo.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import type { Native } from "../../native/addon.js";
import { maxSubmounts, pathOnly } from "./submounts.js";

/**
 * Directories below a source on which something is mounted, relative to it, parents first. In the guest each is a mount of
 * its own, which comes to be when someone walks there: that must be the agent, before the container. Else the options
 * of the container's mount would not reach it, and the guest's kernel may die (guest/agent/src/session/held.rs).
 * `place` is the source's, in the share; `mounts` the share's as they are now that it is mounted there.
 */
export async function nestedMounts(
  box: Pick<Box, "lookAtShared">,
  source: string,
  place: string,
  mounts: readonly MountLine[],
  native: Native,
): Promise<string[]> {
  const all = new Set(mountsBelow(mounts, place).map((target) => relative(place, target)));
  all.delete("");
  if (all.size === 0) return [];
  const found: string[] = [];
  await box.lookAtShared(place, async (root) => {
    for (const path of [...all].sort()) {
      // one that is hidden under another, or that even root may not enter, is not there for the container either
      if (await isDirectory(root, path, native)) found.push(path);
    }
  });
  checkCount(found.length, source);
  return found;
}

/** What is mounted there is not asked for anything: it may never answer. */
async function isDirectory(place: string, path: string, native: Native): Promise<boolean> {
  const flags = pathOnly | constants.O_NOFOLLOW | constants.O_DIRECTORY;
  const fd = await native.openIn(place, path, flags, 0, "beneath").catch(() => undefined);
  if (fd === undefined) return false;
  await native.closeFd(fd);
  return true;
}

/** A directory or file of the host, and where it is in the share. */
export interface PlacedSource {
  readonly source: string;
  readonly place: SharedPath;
}

/** `nestedMounts` of all, as the guest names them; after they are in the share, and so all that is mounted there. */
export async function visitedIn(
  box: Pick<Box, "lookAtShared" | "mountedShared">,
  placed: readonly PlacedSource[],
  native: Native,
): Promise<string[]> {
  const mounts = placed.length === 0 ? [] : await box.mountedShared();
  const visited = placed.map(async ({ source, place: { hostPath, guestPath } }) => {
    const nested = await nestedMounts(box, source, hostPath, mounts, native);
    return nested.map((path) => `${guestPath}/${path}`);
  });
  return (await Promise.all(visited)).flat();
}

/** Throws `invalidArgument` for more mounts below a source than a Box can take. */
export function checkCount(mounts: number, source: string): void {
  if (mounts <= maxSubmounts) return;
  throw new RuntimeError("invalidArgument", `${mounts} directories below ${source} are mounts of their own`, {
    hint: `a Box can take ${maxSubmounts}: mount a directory further down`,
  });
}
