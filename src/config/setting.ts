import * as z from "zod";

/** In a path of the configuration nothing is to be resolved. */
export const absolutePath = /^(?:\/(?!\.\.?(?:\/|$))[^/\0]+)+$/;
export const dayMs = 86_400_000;

/** One key of the config file. */
export interface Setting<T> {
  readonly schema: z.ZodType<T>;
  readonly standard: T;
  /** What may stand there; ends the message about a wrong value. */
  readonly allowed: string;
  /** For the reader of `config default`. */
  readonly about: string;
  /** Not to be shown, not even when it is wrong. */
  readonly secret: boolean;
}

export function setting<T>(schema: z.ZodType<T>, standard: T, allowed: string, about: string): Setting<T> {
  return { schema, standard, allowed, about, secret: false };
}

export function oneOf<const T extends string>(values: readonly T[], standard: T, about: string): Setting<T> {
  return setting(z.enum(values), standard, `one of ${values.map((value) => `"${value}"`).join(", ")}`, about);
}

export function whole(min: number, max: number, standard: number, about: string): Setting<number> {
  const allowed = `a whole number from ${String(min)} to ${String(max)}`;
  return setting(z.int().min(min).max(max), standard, allowed, about);
}

export function yesOrNo(standard: boolean, about: string): Setting<boolean> {
  return setting(z.boolean(), standard, "true or false", about);
}

export function directory(standard: string, about: string): Setting<string> {
  return setting(z.string().regex(absolutePath), standard, "an absolute path without . or .. in it", about);
}
