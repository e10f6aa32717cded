import { RuntimeError } from "../../base/errors.js";
import type { Image, ImageConfig, ImageStore } from "../../image/image-store.js";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { table } from "../table.js";
import { forJson, imageFlags, mib, printJson } from "./show.js";
import { withStore } from "./with-store.js";

/** All that is known of an image: what people ask for first, or everything as JSON. */
export async function imageInspect(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: imageFlags, allowPositionals: true });
  const [reference, more] = positionals;
  if (reference === undefined) throw usageError("image inspect: which image?");
  if (more !== undefined) throw usageError(`image inspect: one image at a time, and there is also "${more}"`);
  const found = await withStore(values, (store) => look(store, reference));
  if (values.json === true) {
    const { image, usedBy, imageSpec } = found;
    printJson({ ...forJson(image), chainIds: image.chainIds, usedBy, imageSpec });
  } else print(forPeople(found));
  return exitStatus.ok;
}

interface Inspected {
  readonly image: Image;
  readonly config: ImageConfig;
  /** Ids of containers. */
  readonly usedBy: readonly string[];
  /** OCI image spec, config.md. */
  readonly imageSpec: unknown;
}

async function look(store: ImageStore, reference: string): Promise<Inspected> {
  const image = await store.find(reference);
  if (image === undefined) throw new RuntimeError("notFound", `image "${reference}" is not here`);
  const usedBy = (await store.inUse()).get(image.id) ?? [];
  const imageSpec: unknown = JSON.parse(await store.readConfig(image));
  return { image, config: await store.config(image), usedBy, imageSpec };
}

function forPeople({ image, config, usedBy }: Inspected): string {
  const rows: [string, string][] = [
    ["id", image.id],
    ...image.repoTags.map((tag): [string, string] => ["tag", tag]),
    ...image.repoDigests.map((digest): [string, string] => ["digest", digest]),
    ["packed size", mib(image.sizeBytes)],
    ["layers", String(image.chainIds.length)],
    ["platform", image.platform],
    ["user", image.user],
    ["entrypoint", JSON.stringify(config.entrypoint)],
    ["cmd", JSON.stringify(config.cmd)],
    ["pinned", image.pinned ? "yes" : "no"],
    ["containers", usedBy.map((id) => id.slice(0, 12)).join(" ")],
  ];
  return table(rows);
}
