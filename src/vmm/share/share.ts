import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError, isNotFound } from "../../base/errors.js";
import type { MountFlags, Native, OwnerMap } from "../../native/addon.js";
import type { SharedPath, Snapshot } from "../box.js";
import type { BoxDirectory } from "../box-directory.js";
import type { MountLine } from "../../base/mountinfo.js";
import { areas, entryAt, type Area } from "./layout.js";
import type { ShareMounts } from "./share-mounts.js";
import type { ShareTrees } from "./share-trees.js";

export interface BindOptions {
  readonly readonly: boolean;
  /** With what is mounted below the source, */
  readonly recursive: boolean;
  /** but in none of these directories of the host. */
  readonly without: readonly string[];
}

/** What of the host a pod sees, as mounts below the Box's directory, or as if they were there (`ShareMounts`). */
export abstract class Share {
  protected readonly directory: BoxDirectory;
  protected readonly native: Native;
  protected readonly mounts: ShareMounts;
  /** As its mounts show owners; null: as they are. */
  protected abstract readonly ids: OwnerMap | null;
  /** Of every mount in it. */
  protected abstract readonly flags: MountFlags;

  constructor(directory: BoxDirectory, native: Native, mounts: ShareMounts) {
    this.directory = directory;
    this.native = native;
    this.mounts = mounts;
  }

  /** Lays it out. Undone by unmounting everything below the Box's directory. */
  abstract create(): Promise<void>;
  /** For who serves it, once it is laid out; undefined where nobody does. */
  abstract trees(guestBase: string): Promise<ShareTrees | undefined>;
  abstract bind(name: string, source: string, how: BindOptions): Promise<SharedPath>;
  /** How a container's tree shows owners. */
  protected abstract ownersOf(
    snapshot: Snapshot,
  ): Promise<{ readonly ids: OwnerMap | null; readonly mapsUpper: boolean }>;
  protected abstract bindTo(target: string, source: string, recursive: boolean, flags: MountFlags): Promise<void>;
  /** The agent's path of an entry. */
  protected abstract seenAt(area: Area, name: string): string;

  async overlay(name: string, snapshot: Snapshot): Promise<SharedPath> {
    const { flags } = this;
    const { lowers, upper, work, boundBy } = snapshot;
    const bound = { apart: boundBy === "file", obeysQuotas: boundBy === "quota" };
    const shown = await this.ownersOf(snapshot);
    return await this.mountEntry({ area: "c", name, file: false }, async (target) => {
      await this.mounts.overlay({ lowers, upper, work, target, flags, index: true, ...bound, ...shown });
    });
  }

  async image(name: string, lowers: readonly string[]): Promise<SharedPath> {
    const { ids } = this;
    const flags = { ...this.flags, readonly: true };
    return await this.mountEntry({ area: "v", name, file: false }, async (target) => {
      await this.mounts.overlay({ lowers, upper: null, work: null, target, flags, index: false, ids });
    });
  }

  /** Without what is mounted below it. */
  async mount(name: string, descriptorPath: string, isDirectory: boolean): Promise<SharedPath> {
    const flags = { ...this.flags, readonly: false };
    return await this.mountEntry({ area: "v", name, file: !isDirectory }, async (target) => {
      await this.bindTo(target, descriptorPath, false, flags);
    });
  }

  /** Lazy always: a file server holds what the guest has looked into, and a plain umount is EBUSY. */
  async remove(hostPath: string): Promise<void> {
    const { layout, share } = this.directory;
    const entry = entryAt(share, hostPath);
    if (entry === undefined) throw new RuntimeError("internal", `${hostPath} is not an entry of ${share}`);
    await this.mounts.unmount(hostPath);
    const point = join(layout, entry.area, entry.name);
    try {
      await ((await lstat(point)).isDirectory() ? rmdir(point) : rm(point));
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
    }
  }

  /** What is mounted in it, by paths as entries have them. */
  async mounted(): Promise<MountLine[]> {
    return await this.mounts.list();
  }

  /** `look` gets a path of that entry for this process, good until it ends: the entry's own is only its name. */
  async lookAt<T>(hostPath: string, look: (path: string) => Promise<T>): Promise<T> {
    return await this.mounts.lookAt(hostPath, look);
  }

  /** Entries whose mount point is there, mounted or not. */
  async list(): Promise<string[]> {
    const { layout, share } = this.directory;
    const found = areas.map(async (area) => (await readdir(join(layout, area))).map((name) => join(share, area, name)));
    return (await Promise.all(found)).flat();
  }

  /** Makes a mount point, mounts on it, and takes it back when that fails. */
  protected async mountEntry(
    entry: { readonly area: Area; readonly name: string; readonly file: boolean },
    mount: (target: string) => Promise<void>,
  ): Promise<SharedPath> {
    const { area, file } = entry;
    const name = freshName(entry.name);
    const point = join(this.directory.layout, area, name);
    const target = join(this.directory.share, area, name);
    await (file ? writeFile(point, "", { flag: "wx", mode: 0o600 }) : mkdir(point, { mode: 0o700 }));
    try {
      await mount(target);
    } catch (thrown) {
      await this.mounts.unmount(target).catch(() => undefined);
      await (file ? rm(point, { force: true }) : rmdir(point)).catch(() => undefined);
      throw thrown;
    }
    return { guestPath: this.seenAt(area, name), hostPath: target };
  }

  protected async makeDirectories(names: readonly string[]): Promise<void> {
    const { layout, share } = this.directory;
    await mkdir(layout, { mode: 0o755 });
    await mkdir(share, { mode: 0o755 });
    await Promise.all(names.map((name) => mkdir(join(layout, name), { mode: 0o755 })));
  }
}

/** A name that a guest can't have looked up before (it caches what was not there) and can't guess. */
function freshName(name: string): string {
  const readable = name.replace(/[^0-9A-Za-z._-]/g, "_").slice(0, 64);
  return `${readable}-${randomBytes(8).toString("hex")}`;
}
