import { lstat } from "node:fs/promises";
import { join, relative } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { mountsBelow, type MountLine } from "../../base/mountinfo.js";
import { maxSubmounts } from "./submounts.js";

/**
 * Folders below a source on which something is mounted, relative to it, parents first. In the guest each is a mount of
 * its own, which comes to be when someone walks there: that must be the agent, before the container. Else the options
 * of the container's mount would not reach it, and the guest's kernel may die (guest/agent/src/session/held.rs).
 * `hostPath` is the source's place in the share.
 */
export async function nestedMounts(source: string, hostPath: string, mounts: readonly MountLine[]): Promise<string[]> {
  const all = new Set(mountsBelow(mounts, source).map((target) => relative(source, target)));
  all.delete("");
  const found: string[] = [];
  for (const path of [...all].sort()) {
    // one that is hidden under another, or that even root may not enter, is not there for the container either
    const there = await lstat(join(hostPath, path)).catch(() => undefined);
    if (there?.isDirectory() === true) found.push(path);
  }
  checkCount(found.length, source);
  return found;
}

/** Throws `invalidArgument` for more mounts below a source than a Box can take. */
export function checkCount(mounts: number, source: string): void {
  if (mounts <= maxSubmounts) return;
  throw new RuntimeError("invalidArgument", `${mounts} folders below ${source} are mounts of their own`, {
    hint: `a Box can take ${maxSubmounts}: mount a folder further down`,
  });
}
