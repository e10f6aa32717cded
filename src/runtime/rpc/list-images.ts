import type { ListImagesRequest, ListImagesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { criImage } from "../images/cri-image.js";

/** CRI ListImages; a filter's image, when set, selects that one (kubelet.md 1.3). */
export async function listImages(
  request: ListImagesRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ListImagesResponse> {
  const name = request.filter?.image?.image ?? "";
  if (name === "") return { images: deps.images.list().map(criImage) };
  const found = deps.images.find(name);
  return { images: found === undefined ? [] : [criImage(found)] };
}
