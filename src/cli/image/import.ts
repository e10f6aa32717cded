import { resolve } from "node:path";
import { exitStatus, parseFlags, usageError } from "../command.js";
import { imageFlags, printImages } from "./show.js";
import { untilInterrupted, withStore } from "./with-store.js";

/** Brings in the images of an archive. */
export async function imageImport(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: imageFlags, allowPositionals: true });
  const [file, more] = positionals;
  if (file === undefined) throw usageError("image import: which FILE?");
  if (more !== undefined) throw usageError(`image import: one FILE at a time, and there is also "${more}"`);
  const images = await withStore(values, async (store) => await store.importArchive(resolve(file), untilInterrupted()));
  printImages(images, values.json);
  return exitStatus.ok;
}
