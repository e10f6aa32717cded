/** Scalars of protobuf's JSON, as schemas. */
import * as z from "zod";
import { isBase64 } from "../../http/base64.js";

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

export const bytes = z
  .string()
  .refine(isBase64, "not base64")
  .transform((text) => Buffer.from(text, "base64"));
