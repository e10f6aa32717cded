import { lstat, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import { isBelow, mountsBelow } from "../../base/mountinfo.js";
import type { MountFlags, OwnerMap } from "../../native/addon.js";
import type { SharedPath } from "../box.js";
import { areas, guestPathOf, type Area } from "./layout.js";
import { Share, type BindOptions } from "./share.js";
import { ShareTrees } from "./share-trees.js";

/** Names at the top of the guest's root that lead into the guest base, which has a merged /usr. */
const baseLinks = ["bin", "sbin", "lib", "lib64"] as const;
/** Empty directories of the guest's root: what the agent mounts on, and what the share's entries go into. */
const emptyDirectories = ["proc", "sys", "dev", "run", "tmp", ...areas, "base"] as const;

/**
 * The root of a guest: what its file server serves, read-only at the top. Nobody on the host may run what is in it. Its
 * mounts show the owners of the server's user namespace, where that has one: what lies on the disk is as without.
 */
export class GuestShare extends Share {
  protected readonly flags = { readonly: false, nosuid: true, nodev: true };
  protected readonly ids: OwnerMap | null;

  constructor(owners: OwnerMap | null, ...place: ConstructorParameters<typeof Share>) {
    super(...place);
    this.ids = owners;
  }

  async create(): Promise<void> {
    const { layout } = this.directory;
    await this.makeDirectories(emptyDirectories);
    await Promise.all(baseLinks.map((name) => symlink(`base/usr/${name}`, join(layout, name))));
    await symlink("base/usr", join(layout, "usr"));
  }

  async trees(guestBase: string): Promise<ShareTrees> {
    const { native } = this;
    const flags = { ...this.flags, readonly: true };
    return await ShareTrees.open(
      native,
      () => native.copyMount(this.directory.layout, false, flags, { ids: this.ids, follows: false }),
      () => this.#asMapped((ids) => native.copyMount(guestBase, false, flags, { ids, follows: false })),
    );
  }

  async bind(name: string, source: string, { readonly, recursive, without }: BindOptions): Promise<SharedPath> {
    const stats = await lstat(source);
    if (stats.isSymbolicLink()) {
      throw new RuntimeError("invalidArgument", `${source} is a symbolic link: resolve it before it is shared`);
    }
    return await this.mountEntry({ area: "v", name, file: !stats.isDirectory() }, async (target) => {
      await this.bindTo(target, source, recursive, { ...this.flags, readonly });
      if (recursive) await this.#leaveOut(source, target, without);
    });
  }

  /** Before the guest knows the name of the place. */
  async #leaveOut(source: string, target: string, directories: readonly string[]): Promise<void> {
    const within = directories.filter((directory) => directory !== source && isBelow(directory, source));
    if (within.length === 0) return;
    const places = within.map((directory) => join(target, relative(source, directory)));
    for (const mount of mountsBelow(await this.mounts.list(), target)) {
      if (places.some((place) => isBelow(mount, place))) await this.mounts.unmount(mount);
    }
  }

  protected async bindTo(target: string, source: string, recursive: boolean, flags: MountFlags): Promise<void> {
    await this.#asMapped((ids) =>
      this.mounts.bind(target, { source, recursive, flags, shown: { ids, follows: false } }),
    );
  }

  /**
   * What can't be mapped, or shows other owners already, is served as it is: to the server's root its files are somebody
   * else's, as they are to root over NFS (root_squash).
   */
  async #asMapped<T>(mount: (ids: OwnerMap | null) => Promise<T>): Promise<T> {
    const { ids } = this;
    try {
      return await mount(ids);
    } catch (thrown) {
      if (ids === null || (errnoOf(thrown) !== "EINVAL" && errnoOf(thrown) !== "EPERM")) throw thrown;
      return await mount(null);
    }
  }

  protected ownersOf(): Promise<{ readonly ids: OwnerMap | null; readonly mapsUpper: boolean }> {
    return Promise.resolve({ ids: this.ids, mapsUpper: this.ids !== null });
  }

  protected seenAt(area: Area, name: string): string {
    return guestPathOf(area, name);
  }
}
