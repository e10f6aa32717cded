import { open } from "node:fs/promises";
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { readDecompressed, sniffCompression } from "./decompress.js";

/** The content of a file that is packed or not, whatever it is called. */
export async function* decompressFile(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  yield* readDecompressed(path, sniffCompression(await readHead(path)), signal);
}

/** First bytes of a file. */
export async function readHead(path: string): Promise<Buffer> {
  const head = Buffer.alloc(4);
  try {
    await using file = await open(path, "r");
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return head.subarray(0, bytesRead);
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
    throw new RuntimeError("invalidArgument", `the archive can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}
