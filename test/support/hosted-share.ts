import { join } from "node:path";
import type { Native, OwnerMap } from "../../src/native/addon.js";
import type { BoxDirectory } from "../../src/vmm/box-directory.js";
import { GuestShare } from "../../src/vmm/share/guest-share.js";
import { HostMounts } from "../../src/vmm/share/share-mounts.js";
import { ShareTrees } from "../../src/vmm/share/share-trees.js";

const flags = { readonly: true, nosuid: true, nodev: true };

/**
 * A guest's share that is mounted on the host, as daemons had it before ADR 0092, and so before it has a server: whoever
 * is given its trees has what is mounted there, then and later.
 */
export async function hostedShare(
  native: Native,
  directory: BoxDirectory,
  base: string,
  owners: OwnerMap | null,
): Promise<{ readonly guest: GuestShare; readonly trees: () => Promise<ShareTrees> }> {
  const guest = new GuestShare(owners, directory, native, new HostMounts(native, directory.share));
  await guest.create();
  await native.bindMount(directory.layout, directory.share, false, flags, { ids: owners, follows: false });
  await native.bindMount(base, join(directory.share, "base"), false, flags, { ids: owners, follows: false });
  const trees = (): Promise<ShareTrees> =>
    ShareTrees.open(
      native,
      () => native.copyMount(directory.share, true, flags, { ids: null, follows: true }),
      () => native.copyMount(join(directory.share, "base"), false, flags, { ids: null, follows: false }),
    );
  return { guest, trees };
}
