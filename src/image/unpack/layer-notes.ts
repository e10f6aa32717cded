/** `layer.json` beside an unpacked layer's root: what the tree itself doesn't tell. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { isNotFound } from "../../base/errors.js";
import { encodeRecord, readRecord } from "../../base/record-file.js";

export interface LayerNotes {
  /** The boot in which it was unpacked: before it is synced, a power cut may have taken parts of it. */
  readonly bootId: string;
  /** Directories that hide what lower layers have in them ("" is the root), for those who can't read trusted attributes. */
  readonly opaqueDirectories: readonly string[];
}

export const layerNotesFile = "layer.json";
/** Beside `layer.json` once the layer is durable. */
export const syncedFile = "synced";

/** The words on the disk stay: a layer that can't be read is dropped, from below the containers that run on it. */
const notesSchema = z
  .object({ version: z.literal(1), bootId: z.string(), opaqueFolders: z.array(z.string()) })
  .transform(({ bootId, opaqueFolders: opaqueDirectories }): LayerNotes => ({ bootId, opaqueDirectories }));

/** Not durable by itself: a layer is trusted by its boot until it is synced as a whole. */
export async function writeLayerNotes(layer: string, notes: LayerNotes): Promise<void> {
  const { bootId, opaqueDirectories: opaqueFolders } = notes;
  await writeFile(join(layer, layerNotesFile), encodeRecord({ version: 1, bootId, opaqueFolders }), { mode: 0o600 });
}

export async function readLayerNotes(layer: string): Promise<LayerNotes> {
  return notesSchema.parse(await readRecord(join(layer, layerNotesFile)));
}

/** False for what a power cut may have damaged. */
export async function isTrustworthy(layer: string, bootId: string): Promise<boolean> {
  try {
    const notes = notesSchema.safeParse(JSON.parse(await readFile(join(layer, layerNotesFile), "utf8")));
    if (!notes.success) return false;
    if (notes.data.bootId === bootId) return true;
    await stat(join(layer, syncedFile));
    return true;
  } catch (thrown) {
    if (isNotFound(thrown) || thrown instanceof SyntaxError) return false;
    throw thrown;
  }
}
