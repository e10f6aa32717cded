/** Scalars of protobuf's JSON, as schemas. */
import * as z from "zod";

const mostUint32 = 2 ** 32 - 1;

/** A number, or its digits in a string. */
export const uint32 = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^\d{1,10}$/)
      .transform(Number),
  ])
  .pipe(z.int().min(0).max(mostUint32));

/** Base64 of either alphabet, padded or not. */
export const bytes = z
  .string()
  .refine(isBase64, "not base64")
  .transform((text) => Buffer.from(text, "base64"));

function isBase64(text: string): boolean {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length - padding) % 4 !== 1 && /^[A-Za-z0-9+/_-]*$/.test(text.slice(0, text.length - padding));
}
