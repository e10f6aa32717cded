import { exitStatus, parseFlags } from "../command.js";
import { imageFlags, printImages } from "./show.js";
import { untilInterrupted, withStore } from "./with-store.js";

/** Removes every image that no container uses and that isn't pinned. */
export async function imagePrune(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: imageFlags });
  printImages(await withStore(values, (store) => store.prune(untilInterrupted())), values.json);
  return exitStatus.ok;
}
