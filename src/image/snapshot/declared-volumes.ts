/**
 * The directories that an image declares as volumes: each container has its own, beside its writable tree, with what the image
 * has there. Source: OCI image spec, config.md, "Volumes"; content, owners and modes come along, as with containerd.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { chmod, mkdir, open, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { errnoOf } from "../../base/errors.js";
import type { Native } from "../../native/addon.js";

/** Where the `index`th is, below where a container writes. */
export function declaredVolumePath(place: string, index: number): string {
  return join(place, "volumes", String(index));
}

interface Where {
  /** Where the container writes. */
  readonly place: string;
  /** A path for a moment's mount of the image. */
  readonly view: string;
}

/** `lowers`: of a read-only overlay of the image; `paths`: in the container, absolute. */
export async function makeDeclaredVolumes(
  native: Native,
  { place, view }: Where,
  lowers: readonly string[],
  paths: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (paths.length === 0) return;
  await mkdir(join(place, "volumes"));
  await using image = await openImage(native, view, lowers);
  for (const [index, path] of paths.entries()) {
    const target = declaredVolumePath(place, index);
    await mkdir(target);
    await chmod(target, 0o755);
    const source = await openDirectory(native, `/proc/self/fd/${image.fd}`, path);
    if (source === undefined) continue;
    try {
      await copyTree(`/proc/${process.pid}/fd/${source}`, target, signal);
    } finally {
      await native.closeFd(source);
    }
  }
}

/** The mount is nobody's any more once it is open: however this ends, nothing has to be unmounted. */
async function openImage(native: Native, target: string, lowers: readonly string[]) {
  await mkdir(target, { mode: 0o700 });
  const flags = { readonly: true, nosuid: true, nodev: true };
  await native.mountOverlay({ lowers, upper: null, work: null, target, flags, index: false });
  try {
    return await open(target, constants.O_RDONLY | constants.O_DIRECTORY);
  } finally {
    await native.unmount(target, true);
    await rmdir(target);
  }
}

/** Undefined where the image has no directory there; links are followed as in a chroot. */
async function openDirectory(native: Native, root: string, path: string): Promise<number | undefined> {
  try {
    return await native.openIn(root, path, constants.O_RDONLY | constants.O_DIRECTORY, 0, "inRoot");
  } catch (thrown) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(thrown) ?? "")) return undefined;
    throw thrown;
  }
}

/** With owners, modes, times, links, devices and extended attributes, those of the directory itself too (coreutils). */
async function copyTree(source: string, target: string, signal: AbortSignal): Promise<void> {
  await promisify(execFile)("cp", ["--archive", "--", `${source}/.`, target], { signal, killSignal: "SIGKILL" });
}
