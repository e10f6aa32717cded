import { stat } from "node:fs/promises";
import { nowNs } from "../../base/clock.js";
import type { FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse } from "../../gen/runtime/v1/api.js";
import type { FsUsage } from "../../image/image-store.js";
import type { CallContext, Deps } from "../deps.js";

/** CRI ImageFsInfo. kubelet's first call on the image service: an error here ends it (kubelet.md 1.1). */
export async function imageFsInfo(
  _request: ImageFsInfoRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ImageFsInfoResponse> {
  const [images, containers] = await Promise.all([deps.images.imageUsage(), deps.images.containerUsage()]);
  const isApart = !(await onSameFilesystem(images.mountpoint, containers.mountpoint));
  return {
    imageFilesystems: [filesystemUsage(images)],
    containerFilesystems: isApart ? [filesystemUsage(containers)] : [],
  };
}

function filesystemUsage(usage: FsUsage): FilesystemUsage {
  return {
    timestamp: nowNs(),
    fsId: { mountpoint: usage.mountpoint },
    usedBytes: { value: usage.usedBytes },
    inodesUsed: { value: usage.inodesUsed },
  };
}

/** container_filesystems is for a storage apart; kubelet would take another folder for another disk (api.proto). */
async function onSameFilesystem(one: string, other: string): Promise<boolean> {
  const [{ dev }, { dev: otherDev }] = await Promise.all([stat(one), stat(other)]);
  return dev === otherDev;
}
