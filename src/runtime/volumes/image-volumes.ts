/** Volumes that are images. */
import { constants } from "node:fs";
import { readlink } from "node:fs/promises";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Image, ImageStore } from "../../image/image-store.js";
import type { Native } from "../../native/addon.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import type { ContainerSpec, MountSpec } from "../container/container-spec.js";

/** By the position of their mount in the request. kubelet has pulled them and names them by id. */
export type ImageVolumes = ReadonlyMap<number, Image>;

/** The word that kubelet counts such failures by (cri-api, pkg/errors). */
const failureWord = "ImageVolumeMountFailed";

export function isImageVolume({ image }: MountSpec): boolean {
  return image !== undefined && image.name !== "";
}

export async function imageVolumesOf(
  mounts: readonly MountSpec[],
  images: Pick<ImageStore, "find">,
): Promise<ImageVolumes> {
  const volumes = new Map<number, Image>();
  for (const [index, mount] of mounts.entries()) {
    if (!isImageVolume(mount)) continue;
    const name = mount.image?.name ?? "";
    const image = await images.find(name);
    if (image === undefined) {
      throw new RuntimeError("failedPrecondition", `${failureWord}: mounts[${index}]: "${name}" is not on this node`, {
        hint: "pull it first",
      });
    }
    volumes.set(index, image);
  }
  return volumes;
}

/**
 * Where in the guest the wanted part of an image is. The sub-path is resolved on the host inside the read-only overlay,
 * links too: nobody can change it any more, and it can't lead out.
 */
export async function subPathOf(
  box: Pick<Box, "lookAtShared">,
  shared: SharedPath,
  mount: MountSpec,
  native: Native,
): Promise<string> {
  if (mount.imageSubPath === "") return shared.guestPath;
  return await box.lookAtShared(shared.hostPath, async (root) => {
    const top = await nameIn(root, ".", native);
    const found = await nameIn(root, mount.imageSubPath, native).catch((cause: unknown) => {
      const why = `the image has no "${mount.imageSubPath}" (${messageOf(cause)})`;
      throw new RuntimeError("failedPrecondition", `${failureWord}: ${mount.containerPath}: ${why}`, { cause });
    });
    if (found === top) return shared.guestPath;
    if (found.startsWith(`${top}/`)) return shared.guestPath + found.slice(top.length);
    throw new RuntimeError("internal", `${failureWord}: "${mount.imageSubPath}" was found at ${found}`);
  });
}

/** What the kernel calls what is found there. */
async function nameIn(root: string, path: string, native: Native): Promise<string> {
  const fd = await native.openIn(root, path, constants.O_RDONLY | pathOnly, 0, "inRoot");
  try {
    return await readlink(`/proc/self/fd/${fd}`);
  } finally {
    await native.closeFd(fd);
  }
}

/**
 * As ContainerStatus shows it: kubelet's garbage collection spares the image by its id (pkg/kubelet/images), which is what
 * PullImage has answered. A reference that the caller gives stays as it is.
 */
export function withVolumeIds(spec: ContainerSpec, volumes: ImageVolumes): ContainerSpec {
  const mounts = spec.mounts.map((mount, index) => {
    const image = volumes.get(index);
    if (image === undefined || mount.image === undefined) return mount;
    const reference = mount.image.reference === "" ? image.id : mount.image.reference;
    return Object.freeze({ ...mount, image: Object.freeze({ ...mount.image, name: image.id, reference }) });
  });
  return Object.freeze({ ...spec, mounts: Object.freeze(mounts) });
}

/** O_PATH, which Node has no name for: nothing of the image is opened, a device neither. */
const pathOnly = 0o10000000;
