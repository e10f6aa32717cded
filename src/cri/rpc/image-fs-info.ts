import { nowNs } from "../../base/clock.js";
import type { FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse } from "../../gen/runtime/v1/api.js";
import type { FsUsage } from "../../image/image-store.js";
import type { CallContext, Deps } from "../deps.js";

/** CRI ImageFsInfo. kubelet's first call on the image service: an error here ends it (pkg/kubelet/cadvisor). */
export async function imageFsInfo(
  _request: ImageFsInfoRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ImageFsInfoResponse> {
  const [images, containers] = await Promise.all([deps.images.imageUsage(), deps.images.containerUsage()]);
  // container_filesystems is for a storage apart; kubelet would take another directory for another disk (api.proto).
  const isApart = images.device !== containers.device;
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
