import { stat } from "node:fs/promises";
import { basename, dirname, relative } from "node:path";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { stepLimitMs } from "../container/limits.js";

/** `O_PATH`, which Node has no name for. */
const pathOnly = 0o10000000;

export interface MountedSource {
  /** As the engine has resolved it. */
  readonly source: string;
  /** MountSpec.within: resolved. */
  readonly within: string;
  /** Where it is mounted now. */
  readonly place: SharedPath;
}

/**
 * What has been mounted is beneath a directory of the host, though others write in that: a name can be made another's
 * between a look and a mount, so it is what is mounted that is looked at, which nobody exchanges. It has to be what the
 * kernel finds without leaving the directory. Throws `permissionDenied`; the mount is the caller's to take back.
 */
export async function checkBeneath(
  { source, within, place }: MountedSource,
  box: Pick<Box, "lookAtShared">,
  native: Pick<Native, "openIn" | "closeFd">,
  signal: AbortSignal,
): Promise<void> {
  const isIt = await stage(`look at mounted ${source}`, stepLimitMs, signal, async () => {
    const mounted = await box.lookAtShared(place.hostPath, (path) => stat(path, { bigint: true }));
    const fd = await open(source, within, native).catch((cause: unknown) => {
      throw left(source, within, messageOf(cause));
    });
    try {
      const there = await stat(`/proc/self/fd/${String(fd)}`, { bigint: true });
      return there.dev === mounted.dev && there.ino === mounted.ino;
    } finally {
      await native.closeFd(fd);
    }
  });
  if (!isIt) throw left(source, within, "it was another when it was mounted");
}

/** The directory itself, which may be a file, has its place from who looks after the machine. */
async function open(source: string, within: string, native: Pick<Native, "openIn">): Promise<number> {
  if (source === within) return await native.openIn(dirname(within), basename(within) || ".", pathOnly, 0, "beneath");
  return await native.openIn(within, relative(within, source), pathOnly, 0, "beneath");
}

function left(source: string, within: string, why: string): RuntimeError {
  return new RuntimeError("permissionDenied", `${source} is not in ${within}: ${why}`, {
    hint: "what is mounted must not be exchanged meanwhile",
  });
}
