import { resolve } from "node:path";
import { exitStatus, parseFlags, usageError } from "../command.js";
import { imageFlags, printImages } from "./show.js";
import { untilInterrupted, withStore } from "./with-store.js";

/** Writes images into an OCI layout tar. */
export async function imageExport(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: imageFlags, allowPositionals: true });
  const [file, ...references] = positionals;
  if (file === undefined) throw usageError("image export: which FILE?");
  if (references.length === 0) throw usageError("image export: which image?");
  const images = await withStore(
    values,
    async (store) => await store.exportArchive(resolve(file), references, untilInterrupted()),
  );
  printImages(images, values.json);
  return exitStatus.ok;
}
