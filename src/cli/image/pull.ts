import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { PullProgress } from "./progress.js";
import { forJson, imageFlags, nameOf, printJson } from "./show.js";
import { untilInterrupted, withStore } from "./with-store.js";

const redrawMs = 100;

/** Pulls an image; on a terminal with a bar per layer, else with a line for each layer that came. On standard error. */
export async function imagePull(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: imageFlags, allowPositionals: true });
  const [reference, more] = positionals;
  if (reference === undefined) throw usageError("image pull: which image?");
  if (more !== undefined) throw usageError(`image pull: one image at a time, and there is also "${more}"`);
  const image = await withStore(values, async (store) => {
    const progress = new PullProgress(process.stderr);
    const timer = setInterval(() => {
      progress.draw();
    }, redrawMs);
    try {
      const pulled = await store.pull(reference, undefined, untilInterrupted(), progress);
      progress.end();
      return pulled;
    } finally {
      clearInterval(timer);
    }
  });
  if (values.json === true) printJson(forJson(image));
  else print(`${image.id}  ${nameOf(image)}\n`);
  return exitStatus.ok;
}
