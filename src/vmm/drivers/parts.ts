import type { BoxId } from "../../base/ids.js";
import type { Native } from "../../native/addon.js";
import type { BoxHandle } from "../box.js";
import type { BoxFolder } from "../box-folder.js";
import { movedRoot } from "../box-ids.js";
import { isBoxGroup } from "../cgroup/plan.js";
import { GroupUsage, ProcessUsage, type Usage } from "../usage.js";
import { GuestShare } from "../share/guest-share.js";
import { HostShare } from "../share/host-share.js";
import { guestLayout } from "../share/layout.js";
import type { Share } from "../share/share.js";

/** What of a Box depends on whether there is a machine in it. */
export interface BoxDriverParts {
  readonly share: Share;
  readonly sharedMemory: string;
  readonly usage: Usage;
  /** The agent is asked to end what it is number 1 of, and to write back what is not; else it is killed at once. */
  readonly shutsDown: boolean;
}

/** `guestBase`: for who lays the share out. */
export function partsOf(
  id: BoxId,
  folder: BoxFolder,
  { driver, processes, cgroups, idMap, serverRoot }: Omit<BoxHandle, "folder">,
  native: Native,
  guestBase = "",
): BoxDriverParts {
  if (driver === "native") {
    const usage = new GroupUsage(cgroups.filter((group) => isBoxGroup(group, id)));
    return { share: new HostShare(idMap, folder, native), sharedMemory: folder.shm, usage, shutsDown: false };
  }
  const usage = new ProcessUsage(processes.map(({ pid }) => pid));
  const owners = serverRoot === undefined ? null : movedRoot(serverRoot);
  return {
    share: new GuestShare(guestBase, owners, folder, native),
    sharedMemory: guestLayout.SHM,
    usage,
    shutsDown: true,
  };
}
