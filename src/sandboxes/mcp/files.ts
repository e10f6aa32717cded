/** The tools about files: what each takes and gives, and what it does. */
import { Readable } from "node:stream";
import * as z from "zod";
import { codeOf, RuntimeError } from "../../base/errors.js";
import { HeldBytes } from "../../base/held-bytes.js";
import { isBase64 } from "../http/base64.js";
import type { FileEntry, Files, FileScope } from "../core/file.js";

/** Of one call: it goes through a model's context, or at least through one JSON text. */
const mostFileBytes = 16 * 1024 * 1024;
const mostEntries = 1000;

interface Where {
  readonly files: Files;
  readonly scope: FileScope;
}

/** What all of them take. */
interface Named {
  readonly sandbox_id: z.ZodType<string | undefined>;
  readonly path: z.ZodType<string>;
}

interface Uploaded {
  readonly path: string;
  readonly content?: string | undefined;
  readonly content_base64?: string | undefined;
}

export const uploadFile = {
  config: (named: Named) => ({
    description: "Writes a file of a sandbox, whole, with the directories above it.",
    inputSchema: z.object({
      ...named,
      content: z.string().max(mostFileBytes).optional().describe("Text"),
      content_base64: z
        .string()
        .max(Math.ceil(mostFileBytes / 3) * 4)
        .optional()
        .describe("Bytes, in place of text"),
    }),
    outputSchema: z.object({ path: z.string(), size: z.number() }),
  }),
  run: async ({ files, scope }: Where, { path, content, content_base64: encoded }: Uploaded, signal: AbortSignal) => {
    if ((content === undefined) === (encoded === undefined)) {
      throw new RuntimeError("invalidArgument", "give either content or content_base64");
    }
    const bytes = content === undefined ? decoded(encoded ?? "") : Buffer.from(content);
    const written = await files.write(path, scope, Readable.from([bytes]), { parents: true }, signal);
    return { path: written.path, size: written.sizeBytes };
  },
};

export const downloadFile = {
  config: (named: Named) => ({
    description: "Reads a file of a sandbox: as text where it is UTF-8, else in base64.",
    inputSchema: z.object({
      ...named,
      offset: z.number().int().min(0).default(0),
      max_bytes: z
        .number()
        .int()
        .min(1)
        .max(mostFileBytes)
        .default(1024 * 1024),
    }),
    outputSchema: z.object({
      content: z.string(),
      encoding: z.enum(["utf-8", "base64"]),
      size: z.number().describe("Of the whole file"),
      truncated: z.boolean(),
    }),
  }),
  run: async (
    { files, scope }: Where,
    { path, offset, max_bytes: length }: { path: string; offset: number; max_bytes: number },
    signal: AbortSignal,
  ) => {
    const { entry, data } = await files.read(path, scope, { offset, length }, signal);
    const held = new HeldBytes();
    for await (const part of data) held.add(part);
    const bytes = held.all();
    const truncated = offset + bytes.length < entry.sizeBytes;
    return { ...readable(bytes, truncated), size: entry.sizeBytes, truncated };
  },
};

export const listFiles = {
  config: (named: Named) => ({
    description: "Lists a directory of a sandbox.",
    inputSchema: z.object({
      ...named,
      depth: z.number().int().min(1).max(32).default(1),
      max_entries: z.number().int().min(1).max(mostEntries).default(mostEntries),
    }),
    outputSchema: z.object({
      entries: z.array(z.object({ path: z.string(), type: z.string(), size: z.number(), modified_at: z.string() })),
      total_entries: z.number().describe("Those listed; there are more where truncated says so"),
      truncated: z.boolean(),
    }),
  }),
  run: async (
    { files, scope }: Where,
    { path, depth, max_entries: limit }: { path: string; depth: number; max_entries: number },
    signal: AbortSignal,
  ) => {
    const { entries, truncated } = await files.list(path, scope, { depth, limit }, signal);
    return { entries: entries.map(told), total_entries: entries.length, truncated };
  },
};

export const fileExists = {
  config: (named: Named) => ({
    description: "Whether there is a file or directory at a path of a sandbox.",
    inputSchema: z.object(named),
    outputSchema: z.object({ exists: z.boolean() }),
  }),
  run: async ({ files, scope }: Where, { path }: { path: string }, signal: AbortSignal) => {
    try {
      await files.stat(path, scope, true, signal);
      return { exists: true };
    } catch (thrown) {
      if (codeOf(thrown) !== "notFound") throw thrown;
      return { exists: false };
    }
  },
};

/** Lines may be broken, as base64(1) breaks them. */
function decoded(encoded: string): Buffer {
  const text = encoded.replace(/\s+/g, "");
  if (isBase64(text)) return Buffer.from(text, "base64");
  throw new RuntimeError("invalidArgument", "content_base64 is no base64, or is cut off: nothing was written", {
    hint: "text goes into content as it is",
  });
}

function told({ path, kind, sizeBytes, modifiedAtMs }: FileEntry) {
  return { path, type: kind, size: sizeBytes, modified_at: new Date(modifiedAtMs).toISOString() };
}

/** A text that was cut within a character is one still: the character's part is left out. */
function readable(bytes: Buffer, isCut: boolean): { content: string; encoding: "utf-8" | "base64" } {
  try {
    return { content: new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: isCut }), encoding: "utf-8" };
  } catch {
    return { content: bytes.toString("base64"), encoding: "base64" };
  }
}
