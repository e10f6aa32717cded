/** Unpacking one layer, on a worker's thread. */
import { createHash } from "node:crypto";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import type { NativeSync } from "../../native/addon.js";
import { readDecompressed } from "./decompress.js";
import { LayerTree, type TreeNotes } from "./layer-tree.js";
import type { UnpackRequest } from "./messages.js";
import { atEntry, readTar } from "./tar-reader.js";

/** Leaves a part of the tree in `request.folder` when it fails: the folder is the caller's to remove. */
export async function unpackLayer(sync: NativeSync, request: UnpackRequest, signal: AbortSignal): Promise<TreeNotes> {
  const hash = createHash("sha256");
  const tree = new LayerTree(sync, request.folder);
  try {
    const content = hashed(readDecompressed(request.blob, request.compression, signal), hash);
    await readTar(content, (entry) => {
      const name = entry.name;
      const sink = guarded(name, () => tree.write(entry));
      if (sink === null) return null;
      return {
        write: (chunk) => guarded(name, () => sink.write(chunk)),
        end: () => guarded(name, () => sink.end()),
      };
    });
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual !== request.diffId) {
      throw new RuntimeError(
        "internal",
        `the unpacked layer is ${actual}, and not ${request.diffId} as the config says`,
      );
    }
    return tree.finish();
  } finally {
    tree.close();
  }
}

async function* hashed(source: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

function guarded<T>(name: string, step: () => T): T {
  try {
    return step();
  } catch (thrown) {
    throw atEntry(name, withSpace(thrown));
  }
}

function withSpace(thrown: unknown): unknown {
  const errno = errnoOf(thrown);
  if (errno !== "ENOSPC" && errno !== "EDQUOT") return thrown;
  return new RuntimeError("resourceExhausted", "no space left for the image", {
    hint: "free space on the file system of the image store, or remove images",
    cause: thrown,
  });
}
