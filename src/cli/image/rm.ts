import { messageOf } from "../../base/errors.js";
import type { Image } from "../../image/image-store.js";
import { exitStatus, parseFlags, usageError } from "../command.js";
import { imageFlags, printImages } from "./show.js";
import { untilInterrupted, withStore } from "./with-store.js";

/** Removes images with all their names. Goes on after one that can't be removed; status 1 then. */
export async function imageRm(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: imageFlags, allowPositionals: true });
  if (positionals.length === 0) throw usageError("image rm: which image?");
  const removed: Image[] = [];
  const failures: string[] = [];
  await withStore(values, async (store) => {
    const signal = untilInterrupted();
    for (const reference of positionals) {
      const image = await store.find(reference);
      try {
        await store.remove(reference, signal); // an image whose content is lost can be removed, but not found
        if (image === undefined) failures.push(`image "${reference}" is not here`);
        else removed.push(image);
      } catch (thrown) {
        failures.push(messageOf(thrown));
      }
    }
  });
  printImages(removed, values.json);
  for (const failure of failures) process.stderr.write(`${failure}\n`);
  return failures.length === 0 ? exitStatus.ok : exitStatus.failed;
}
