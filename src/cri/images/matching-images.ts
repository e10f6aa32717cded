import type { Image as CriImage, ImageFilter } from "../../gen/runtime/v1/api.js";
import { formatName, parseReference } from "../../image/reference/reference.js";
import type { Image } from "../../image/image-store.js";
import type { Deps } from "../deps.js";
import { criImage } from "./cri-image.js";

/**
 * Images of a list: all of them, or those that the filter's image names: one in any form of a reference, or with neither tag
 * nor digest all of that repository.
 */
export async function matchingImages(
  filter: ImageFilter | undefined,
  deps: Pick<Deps, "images" | "config">,
): Promise<CriImage[]> {
  const name = filter?.image?.image ?? "";
  const all = await deps.images.list();
  if (name === "") return all.map(criImage);
  const repository = repositoryOf(name, deps);
  const isOfIt = ({ repoTags, repoDigests }: Image): boolean =>
    [
      ...repoTags.map((tag) => tag.slice(0, tag.lastIndexOf(":"))),
      ...repoDigests.map((one) => one.split("@")[0]),
    ].includes(repository);
  const found = await deps.images.find(name);
  const others = repository === undefined ? [] : all.filter((image) => image.id !== found?.id && isOfIt(image));
  return [...(found === undefined ? [] : [found]), ...others].map(criImage);
}

/** Undefined for what is more, or no name at all. */
function repositoryOf(name: string, { config }: Pick<Deps, "config">): string | undefined {
  const last = name.slice(name.lastIndexOf("/") + 1);
  if (last.includes(":") || last.includes("@")) return undefined;
  try {
    return formatName(parseReference(name, config.image.defaultRegistry));
  } catch {
    return undefined;
  }
}
