import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, rm, rmdir, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { RuntimeError, isNotFound } from "../base/errors.js";
import type { MountFlags, Native } from "../native/addon.js";
import type { SharedPath } from "./box.js";
import type { BoxFolder } from "./box-folder.js";

const nothingSpecial: MountFlags = { readonly: false, nosuid: true, nodev: true };
/** Names at the top of the guest's root that lead into the guest base, which has a merged /usr. */
const baseLinks = ["bin", "sbin", "lib", "lib64"] as const;
/** Empty folders of the guest's root: what the agent mounts on, container roots (c) and volumes (v). */
const emptyFolders = ["proc", "sys", "dev", "run", "tmp", "c", "v", "base"] as const;

/** Where an entry goes: container roots and volumes. */
type Area = "c" | "v";
const areas: readonly Area[] = ["c", "v"];

/**
 * Lays out a Box's share: the root of the guest. `share` is a bind mount of `layout` in a peer group of its own, made
 * before the file server starts, so that later mounts on it reach the server's namespace; read-only, so that the guest
 * can't write at the top. Undone by unmounting everything below the Box's folder.
 */
export async function createShare(folder: BoxFolder, guestBase: string, native: Native): Promise<void> {
  await mkdir(folder.layout, { mode: 0o755 });
  await mkdir(folder.share, { mode: 0o755 });
  await Promise.all(emptyFolders.map((name) => mkdir(join(folder.layout, name), { mode: 0o755 })));
  await Promise.all(baseLinks.map((name) => symlink(`base/usr/${name}`, join(folder.layout, name))));
  await symlink("base/usr", join(folder.layout, "usr"));
  await native.bindMount(folder.layout, folder.share, false, nothingSpecial);
  // A bind of a shared mount joins its peer group, and mounts made here would appear below `layout` too: leave it first.
  await native.setPropagation(folder.share, "private", false);
  await native.setPropagation(folder.share, "shared", false);
  await native.bindMount(guestBase, join(folder.share, "base"), false, { ...nothingSpecial, readonly: true });
  await native.setReadonly(folder.share, true);
}

/** A name that the guest can't have looked up before (it caches what was not there) and can't guess. */
function freshName(name: string): string {
  const readable = name.replace(/[^0-9A-Za-z._-]/g, "_").slice(0, 64);
  return `${readable}-${randomBytes(8).toString("hex")}`;
}

/** Makes a mount point, mounts on it, and takes it back when that fails. */
async function mountEntry(
  folder: BoxFolder,
  native: Native,
  entry: { readonly area: Area; readonly name: string; readonly file: boolean },
  mount: (target: string) => Promise<void>,
): Promise<SharedPath> {
  const name = freshName(entry.name);
  const point = join(folder.layout, entry.area, name);
  const target = join(folder.share, entry.area, name);
  await (entry.file ? writeFile(point, "", { flag: "wx", mode: 0o600 }) : mkdir(point, { mode: 0o700 }));
  try {
    await mount(target);
  } catch (thrown) {
    await native.unmount(target, true).catch(() => undefined);
    await (entry.file ? rm(point, { force: true }) : rmdir(point)).catch(() => undefined);
    throw thrown;
  }
  return { guestPath: `/${entry.area}/${name}`, hostPath: target };
}

export async function shareOverlay(
  folder: BoxFolder,
  native: Native,
  name: string,
  snapshot: { readonly lowers: readonly string[]; readonly upper: string; readonly work: string },
): Promise<SharedPath> {
  return await mountEntry(folder, native, { area: "c", name, file: false }, async (target) => {
    await native.mountOverlay({ ...snapshot, target, flags: nothingSpecial, index: true });
  });
}

export async function shareImage(
  folder: BoxFolder,
  native: Native,
  name: string,
  lowers: readonly string[],
): Promise<SharedPath> {
  const flags = { ...nothingSpecial, readonly: true };
  return await mountEntry(folder, native, { area: "v", name, file: false }, async (target) => {
    await native.mountOverlay({ lowers, upper: null, work: null, target, flags, index: false });
  });
}

export async function shareBind(
  folder: BoxFolder,
  native: Native,
  name: string,
  source: string,
  readonly: boolean,
): Promise<SharedPath> {
  // A descriptor's path is what a caller hands over who has resolved a path that someone else may be changing.
  const stats = await (/^\/proc\/self\/fd\/\d+$/.test(source) ? stat(source) : lstat(source));
  if (stats.isSymbolicLink()) {
    throw new RuntimeError("invalidArgument", `${source} is a symbolic link: resolve it before it is shared`);
  }
  return await mountEntry(folder, native, { area: "v", name, file: !stats.isDirectory() }, async (target) => {
    await native.bindMount(source, target, true, { ...nothingSpecial, readonly });
  });
}

/** Lazy always: the file server holds what the guest has looked into, and a plain umount is EBUSY. */
export async function removeShared(folder: BoxFolder, native: Native, hostPath: string): Promise<void> {
  const area = basename(dirname(hostPath));
  const name = basename(hostPath);
  if ((area !== "c" && area !== "v") || hostPath !== join(folder.share, area, name) || name === "..") {
    throw new RuntimeError("internal", `${hostPath} is not an entry of ${folder.share}`);
  }
  await native.unmount(hostPath, true);
  const point = join(folder.layout, area, name);
  try {
    await ((await lstat(point)).isDirectory() ? rmdir(point) : rm(point));
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

/** Entries whose mount point is there, mounted or not. */
export async function listShared(folder: BoxFolder): Promise<string[]> {
  const found = await Promise.all(
    areas.map(async (area) => (await readdir(join(folder.layout, area))).map((name) => join(folder.share, area, name))),
  );
  return found.flat();
}
