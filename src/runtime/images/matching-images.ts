import type { Image as CriImage, ImageFilter } from "../../gen/runtime/v1/api.js";
import type { Deps } from "../deps.js";
import { criImage } from "./cri-image.js";

/** Images of a list: all of them, or the one that the filter's image names, in any form of a reference. */
export async function matchingImages(filter: ImageFilter | undefined, deps: Pick<Deps, "images">): Promise<CriImage[]> {
  const name = filter?.image?.image ?? "";
  if (name === "") return (await deps.images.list()).map(criImage);
  const found = await deps.images.find(name);
  return found === undefined ? [] : [criImage(found)];
}
