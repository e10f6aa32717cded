import type { StreamImagesRequest, StreamImagesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { matchingImages } from "../images/matching-images.js";
import { inParts } from "../in-parts.js";

/** CRI StreamImages: ListImages in parts, as all of it was at one moment. */
export async function* streamImages(
  request: StreamImagesRequest,
  _call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamImagesResponse> {
  for (const images of inParts(await matchingImages(request.filter, deps))) yield { images };
}
