import { createHash, timingSafeEqual } from "node:crypto";

/** Takes as long for each wrong one: of both, the digests are compared. */
export function sameSecret(given: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return right !== "" && timingSafeEqual(digest(given), digest(right));
}
