import { closedDirectory } from "../../base/closed-directory.js";
import { messageOf } from "../../base/errors.js";
import { longestState } from "../box-directory.js";
import type { DriverName } from "../box.js";
import type { Driver } from "../drivers/driver.js";
import { removeHalfMade, templatesDirectory } from "./half-made.js";
import { Templates, type TemplateDeps } from "./templates.js";

const ownSuffix = Buffer.byteLength(templatesDirectory(""));
const keepAwakeMs = 1000;

/**
 * Of the drivers that can. Where there can be none the log says why, and Boxes boot. What an earlier daemon was making is taken
 * away in any case. `directory`: of the files; undefined: below `state`.
 */
export async function openTemplates(
  deps: TemplateDeps,
  drivers: ReadonlyMap<DriverName, Driver>,
  directory: string | undefined,
): Promise<Map<DriverName, Templates>> {
  const { state, log } = deps;
  const files = directory ?? templatesDirectory(state);
  const opened = new Map<DriverName, Templates>();
  try {
    await takeAwayHalfMade(deps, files);
    for (const [name, driver] of drivers) {
      if (driver.snapshots === undefined) continue;
      if (Buffer.byteLength(state) + ownSuffix > longestState) {
        log.warn({ state }, "no templates: the state directory's path is too long for them; Boxes boot");
        continue;
      }
      await closedDirectory(templatesDirectory(state)); // whatever is made lies there, the files or not
      opened.set(name, await Templates.open(deps, driver, files));
    }
  } catch (thrown) {
    log.warn({ err: messageOf(thrown) }, "no templates; Boxes boot");
  }
  return opened;
}

async function takeAwayHalfMade(deps: TemplateDeps, files: string): Promise<void> {
  // Nothing else keeps a process that begins: what waits for another's end does not.
  const awake = setInterval(() => undefined, keepAwakeMs);
  try {
    await removeHalfMade(deps.state, deps, files);
  } finally {
    clearInterval(awake);
  }
}
