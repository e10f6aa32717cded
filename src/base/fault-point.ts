import { faults } from "./faults.js";
import { stage } from "./stage.js";

/**
 * Work that has its own words for what goes wrong, and its own limits for what hangs: only a place for faults on purpose,
 * with the name that they know it by.
 */
export async function faultPoint<T>(
  name: string,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return faults === undefined ? await run(parent) : await stage(name, Number.POSITIVE_INFINITY, parent, run);
}
