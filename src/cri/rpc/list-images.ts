import type { ListImagesRequest, ListImagesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { matchingImages } from "../images/matching-images.js";

/** CRI ListImages; a filter's image, when set, selects that one (kubelet.md 1.3). */
export async function listImages(
  request: ListImagesRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ListImagesResponse> {
  return { images: await matchingImages(request.filter, deps) };
}
