import { chmod, chown, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import type { HostIds, IdMap, MountFlags } from "../../native/addon.js";
import type { SharedPath, Snapshot } from "../box.js";
import { areas, type Area } from "./layout.js";
import { Share, type BindOptions } from "./share.js";

const shmBytes = 64 * 1024 * 1024;
/** /proc/sys/kernel/overflowuid. */
const overflowId = 65_534;

/**
 * Roots of containers and images for a pod of the host, whose agent sees the host's own tree: what is bound is bound from
 * where it is, unless it has to show other owners. Set-uid programs and devices in it work.
 */
export class HostShare extends Share {
  protected readonly flags = { readonly: false, nosuid: false, nodev: false };
  protected readonly ids: IdMap | null;

  constructor(idMap: IdMap | undefined, ...place: ConstructorParameters<typeof Share>) {
    super(...place);
    this.ids = idMap ?? null;
  }

  async create(): Promise<void> {
    const { layout, share } = this.directory;
    await this.makeDirectories(areas);
    // In a peer group of its own from the first: what is mounted in it must not appear in the layout too.
    await this.native.bindMount(layout, share, false, this.flags);
    await mkdir(this.directory.shm, { mode: 0o755 });
    await this.native.mountTmpfs(this.directory.shm, shmBytes, 0o1777);
    if (this.ids !== null) await this.letIn(this.ids);
  }

  /** The agent and its containers see the host's own mounts. */
  trees(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Follows what is mounted below the source: whether a container does is its own mount's to say. */
  async bind(name: string, source: string, { readonly, recursive }: BindOptions): Promise<SharedPath> {
    const { flags } = this;
    if (this.ids === null) throw new RuntimeError("internal", `${source} needs no place in the share`);
    const file = !(await stat(source)).isDirectory();
    return await this.mountEntry({ area: "v", name, file }, async (target) => {
      await this.bindTo(target, source, recursive, { ...flags, readonly });
    });
  }

  /** With its owners as they are: what has a mount of its own here belongs to the pod's root already. */
  override async mount(name: string, descriptorPath: string, isDirectory: boolean): Promise<SharedPath> {
    const flags = { ...this.flags, readonly: false };
    return await this.mountEntry({ area: "v", name, file: !isDirectory }, async (target) => {
      await this.mounts.bind(target, { source: descriptorPath, recursive: false, flags });
    });
  }

  protected async bindTo(target: string, source: string, recursive: boolean, flags: MountFlags): Promise<void> {
    try {
      await this.mounts.bind(target, { source, recursive, flags, shown: { ids: this.ids, follows: true } });
    } catch (cause) {
      if (errnoOf(cause) !== "EINVAL" && errnoOf(cause) !== "EPERM") throw cause;
      const what = `the file system of ${source} can't show its owners as a user namespace has them`;
      throw new RuntimeError("failedPrecondition", what, {
        hint: "leave out hostUsers: false, or have the volume on a file system with idmapped mounts",
        cause,
      });
    }
  }

  /** The upper's own root has the owners that are shown: so far it has nothing else, and one of the image's. */
  protected async ownersOf({ upper }: Snapshot): Promise<{ readonly ids: IdMap | null; readonly mapsUpper: boolean }> {
    const { ids } = this;
    if (ids !== null) {
      const { uid, gid } = await stat(upper);
      await chown(upper, shown(uid, ids.uids), shown(gid, ids.gids));
    }
    return { ids, mapsUpper: false };
  }

  protected seenAt(area: Area, name: string): string {
    return join(this.directory.share, area, name);
  }

  /**
   * Root of the pod's user namespace is an unknown to the host, and mounts its containers' roots. What it can pass it can't
   * list, and no other user can pass it.
   */
  private async letIn({ uids, gids }: IdMap): Promise<void> {
    await chown(this.directory.path, 0, gids.first);
    await chmod(this.directory.path, 0o710);
    await chown(this.directory.shm, uids.first, gids.first);
  }
}

/** As mount_setattr(2) maps it: what is beyond the range is nobody's. */
function shown(id: number, { first, count }: HostIds): number {
  return id < count ? first + id : overflowId;
}
