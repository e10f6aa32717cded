import { createReadStream } from "node:fs";
import * as zlib from "node:zlib";
import { pipeline, type Transform } from "node:stream";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Compression } from "../content/media-types.js";

const chunkBytes = 256 * 1024;

/** The uncompressed content of a file. Rejects with `canceled` when aborted. */
export async function* readDecompressed(
  path: string,
  compression: Compression,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const packed = createReadStream(path, { highWaterMark: chunkBytes });
  const decoder = decoderOf(compression);
  // What breaks one breaks the other, and the loop below throws it.
  const source: AsyncIterable<unknown> = decoder === null ? packed : pipeline(packed, decoder, () => undefined);
  try {
    for await (const chunk of source) {
      if (signal.aborted) throw new RuntimeError("canceled", "given up");
      if (!Buffer.isBuffer(chunk)) throw new RuntimeError("internal", "decompression gave no bytes");
      yield chunk;
    }
  } catch (thrown) {
    throw explained(thrown);
  }
}

/** zlib's codes begin with Z_ ("Z_BUF_ERROR", "Z_DATA_ERROR"). */
function explained(thrown: unknown): unknown {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? String(thrown.code) : "";
  if (!code.startsWith("Z_")) return thrown;
  return new RuntimeError("internal", `it can't be decompressed: ${messageOf(thrown)}`, { cause: thrown });
}

function decoderOf(compression: Compression): Transform | null {
  switch (compression) {
    case "none":
      return null;
    case "gzip":
      return zlib.createGunzip({ chunkSize: chunkBytes });
    case "zstd":
      return zstdDecoder();
  }
}

/** In node:zlib since 22.15; looked up by name, for Node 20 has none. */
function zstdDecoder(): Transform {
  const create: unknown = Reflect.get(zlib, "createZstdDecompress");
  if (typeof create === "function") {
    const decoder: unknown = Reflect.apply(create, zlib, [{ chunkSize: chunkBytes }]);
    if (isTransform(decoder)) return decoder;
  }
  throw new RuntimeError("unimplemented", "the layer is packed with zstd, which this Node can't unpack", {
    hint: "run on Node 22.15 or newer, or push the image with gzip layers",
  });
}

function isTransform(value: unknown): value is Transform {
  return typeof value === "object" && value !== null && "pipe" in value && "write" in value;
}

/** gzip by its first two bytes (RFC 1952, 2.3.1), zstd by its first four (RFC 8878, 3.1.1), else plain. */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  const zstd = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;
  return zstd ? "zstd" : "none";
}
