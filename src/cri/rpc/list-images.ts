import type { ListImagesRequest, ListImagesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { matchingImages } from "../images/matching-images.js";

/** CRI ListImages; a filter's image, when set, selects that one (pkg/kubelet/kuberuntime/kuberuntime_image.go). */
export async function listImages(
  request: ListImagesRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ListImagesResponse> {
  return { images: await matchingImages(request.filter, deps) };
}
