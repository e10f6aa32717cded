/** Images that the configuration keeps: nobody removes them by name, and kubelet's garbage collection passes them over. */
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Digest } from "../../base/ids.js";
import type { Known } from "../content/catalog.js";
import { parseReference } from "../reference/reference.js";
import { findImage } from "./find.js";

/** Ids of the pinned images that are here, each with the reference that pins it. */
export function pinnedImages(
  known: Known,
  references: readonly string[],
  defaultRegistry: string,
): ReadonlyMap<Digest, string> {
  const pins = new Map<Digest, string>();
  for (const reference of references) {
    const found = findImage(known, reference, defaultRegistry);
    if (found !== undefined) pins.set(found.image.id, reference);
  }
  return pins;
}

/** At open, so that a pin that can't mean anything is seen before it is missed. */
export function checkPins(references: readonly string[], defaultRegistry: string): void {
  for (const reference of references) {
    try {
      parseReference(reference, defaultRegistry);
    } catch (cause) {
      throw new RuntimeError("invalidArgument", messageOf(cause), { stage: "image.pinned", cause });
    }
  }
}
