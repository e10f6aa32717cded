import type { BoxId } from "../../base/ids.js";
import type { Native } from "../../native/addon.js";
import type { BoxHandle, MachineDriver } from "../box.js";
import type { BoxDirectory } from "../box-directory.js";
import { movedRoot } from "../box-ids.js";
import { isBoxGroup } from "../cgroup/plan.js";
import { GroupUsage, ProcessUsage, type Usage } from "../usage.js";
import { GuestShare } from "../share/guest-share.js";
import { HostShare } from "../share/host-share.js";
import { guestLayout } from "../share/layout.js";
import type { Share } from "../share/share.js";
import { HostMounts, ServerMounts } from "../share/share-mounts.js";
import { Stagings } from "../share/staging.js";

/** What of a Box depends on whether there is a machine in it. */
export interface BoxDriverParts {
  readonly share: Share;
  /** None where the agent has a faster way than the share. */
  readonly stagings?: Stagings;
  readonly sharedMemory: string;
  readonly usage: Usage;
  /** The agent is asked to end what it is number 1 of, and to write back what is not; else it is killed at once. */
  readonly shutsDown: boolean;
}

/** `processes` of the handle: none before they are started, where what needs them fails. */
export function partsOf(
  id: BoxId,
  directory: BoxDirectory,
  { driver, processes, cgroups, idMap, serverRoot, sharedBy }: Omit<BoxHandle, "directory">,
  native: Native,
): BoxDriverParts {
  const onHost = new HostMounts(native, directory.share);
  if (driver === "native") {
    const usage = new GroupUsage(cgroups.filter((group) => isBoxGroup(group, id)));
    return {
      share: new HostShare(idMap, directory, native, onHost),
      sharedMemory: directory.shm,
      usage,
      shutsDown: false,
    };
  }
  const usage = new ProcessUsage(processes.map(({ pid }) => pid));
  const owners = serverRoot === undefined ? null : movedRoot(serverRoot);
  const mounts =
    sharedBy === "server" ? new ServerMounts(native, directory.share, serverOf(driver, processes)) : onHost;
  const share = new GuestShare(owners, directory, native, mounts);
  return {
    share,
    stagings: new Stagings(directory, share),
    sharedMemory: guestLayout.SHM,
    usage,
    shutsDown: true,
  };
}

/** What serves the share to the guest. */
export function serverOf(
  driver: MachineDriver,
  processes: BoxHandle["processes"],
): BoxHandle["processes"][number] | undefined {
  return processes.find(({ role }) => role === (driver === "qemu" ? "fs" : "vmm"));
}
