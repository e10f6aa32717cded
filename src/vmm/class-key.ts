import { createHash } from "node:crypto";

/** One word for all that Boxes which are alike have in common: where any of it is another, so is the word. */
export function classKey(...facts: readonly string[]): string {
  return createHash("sha256").update(facts.join("\0")).digest("hex").slice(0, 24);
}
