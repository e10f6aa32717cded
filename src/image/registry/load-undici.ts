import type * as undici from "undici";

export type Undici = typeof undici;

/** A seventh of what a start of the daemon would have to load; only who pulls needs it. */
export async function loadUndici(): Promise<Undici> {
  return await import("undici");
}
