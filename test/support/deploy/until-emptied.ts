import { join } from "node:path";
import { namesIn } from "../../../src/base/names-in.js";
import { eventually } from "../wait.js";

/**
 * Waits until what was left to wait for the next daemon has given up, ended all Boxes, and emptied these directories below
 * `base`; success where they are not there. `ms`: of the wait that its configuration has.
 */
export async function untilEmptied(base: string, names: readonly string[], ms: number): Promise<void> {
  await eventually("images, records and what ran are gone", ms + endingMs, async () => {
    const left = await Promise.all(names.map((name) => namesIn(join(base, name))));
    return left.flat().length === 0 ? true : undefined;
  });
}

/** Boxes of a test are few, and emulated. */
const endingMs = 120_000;
