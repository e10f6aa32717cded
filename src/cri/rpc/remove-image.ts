import type { RemoveImageRequest, RemoveImageResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { requiredImageName } from "../images/image-request.js";

/**
 * CRI RemoveImage: all names of the image that the one names. An unknown image is success (api.proto), a pinned one is
 * FAILED_PRECONDITION: kubelet's garbage collection passes those over and never asks.
 */
export async function removeImage(
  request: RemoveImageRequest,
  call: CallContext,
  deps: Deps,
): Promise<RemoveImageResponse> {
  await deps.images.remove(requiredImageName(request.image), call.signal);
  return {};
}
