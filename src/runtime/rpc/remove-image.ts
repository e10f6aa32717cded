import type { RemoveImageRequest, RemoveImageResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { requiredImageName } from "../images/image-request.js";

/** CRI RemoveImage: all names of the image that the one names. An unknown image is success (kubelet.md 1.4). */
export async function removeImage(
  request: RemoveImageRequest,
  call: CallContext,
  deps: Deps,
): Promise<RemoveImageResponse> {
  const name = requiredImageName(request.image);
  await deps.images.remove(name, call.signal);
  call.log.info({ image: name }, "image removed");
  return {};
}
