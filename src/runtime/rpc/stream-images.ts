import type { StreamImagesRequest, StreamImagesResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { criImage } from "../images/cri-image.js";
import { inParts } from "../in-parts.js";

/** CRI StreamImages: ListImages in parts, as all of it was at one moment. */
export async function* streamImages(
  request: StreamImagesRequest,
  _call: CallContext,
  deps: Deps,
): AsyncGenerator<StreamImagesResponse> {
  const name = request.filter?.image?.image ?? "";
  const found = name === "" ? undefined : deps.images.find(name);
  const fitting = name === "" ? deps.images.list() : found === undefined ? [] : [found];
  for (const images of inParts(fitting.map(criImage))) yield { images };
}
