import type undici from "undici";

export type Undici = typeof undici;

/**
 * A seventh of what a start of the daemon would have to load; only who pulls needs it. It is CommonJS: its default is all
 * of it, in the bundle too, which does not know its names.
 */
export async function loadUndici(): Promise<Undici> {
  return (await import("undici")).default;
}
