import type { Image } from "../../image/image-store.js";
import { exitStatus, parseFlags, print } from "../command.js";
import { table } from "../table.js";
import { forJson, imageFlags, mib, printJson } from "./show.js";
import { withStore } from "./with-store.js";

/** Lists the images: a table, or JSON. */
export async function imageList(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: imageFlags });
  const images = await withStore(values, (store) => store.list());
  if (values.json === true) printJson(images.map(forJson));
  else print(imageTable(images));
  return exitStatus.ok;
}

function imageTable(images: readonly Image[]): string {
  const rows = images.flatMap((image) => {
    const names = image.repoTags.length > 0 ? image.repoTags : [image.repoDigests[0] ?? "(no name)"];
    return names.map((name) => [name, image.id.slice("sha256:".length, 19), mib(image.sizeBytes)]);
  });
  return table([["IMAGE", "ID", "SIZE"], ...rows]);
}
