/** What filesystem.Filesystem is asked, in protobuf's JSON. */
import * as z from "zod";
import { uint32 } from "../connect/json.js";

const mostPath = 4096;
export const mostDepth = 256;

const path = z
  .string()
  .max(mostPath)
  .refine((text) => !text.includes("\0"), "has a NUL");

export const pathRequest = z.object({ path: path.min(1) });
export const moveRequest = z.object({ source: path.min(1), destination: path.min(1) });
export const listDirRequest = z.object({
  path,
  /** 0 is what clients from before there was this field say. */
  depth: uint32.default(1).transform((levels) => Math.min(Math.max(levels, 1), mostDepth)),
});
export const watchRequest = z.object({
  path: path.min(1),
  recursive: z.boolean().default(false),
  includeEntry: z.boolean().default(false),
});
export type WatchRequest = z.infer<typeof watchRequest>;
export const watcherRequest = z.object({ watcherId: z.string().min(1).max(64) });
