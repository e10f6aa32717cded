/** How images are shown: for people and as JSON. */
import type { Image } from "../../image/image-store.js";
import { configFlags, print } from "../command.js";

/** Of every `image` command. */
export const imageFlags = { ...configFlags, json: { type: "boolean" } } as const;

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}

/** An array with --json, else a line each: id and first name. */
export function printImages(images: readonly Image[], json: boolean | undefined): void {
  if (json === true) {
    printJson(images.map(forJson));
    return;
  }
  for (const image of images) print(`${image.id}  ${nameOf(image)}\n`);
}

export function nameOf(image: Image): string {
  return [...image.repoTags, ...image.repoDigests][0] ?? "(no name)";
}

export function mib(bytes: bigint | number): string {
  return `${(Number(bytes) / 1_048_576).toFixed(1)} MiB`;
}

export function forJson({ id, repoTags, repoDigests, sizeBytes, pinned, platform }: Image) {
  return { id, repoTags, repoDigests, sizeBytes: Number(sizeBytes), pinned, platform };
}
