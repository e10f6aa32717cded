/**
 * Header blocks: one zlib stream per direction for the life of a connection, primed with the dictionary and flushed at
 * the end of each block (SPDY protocol draft 3.1, section 2.6.10.1). Blocks go through in the order of the frames.
 */
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { broken } from "./frames.js";
import { dictionary } from "./dictionary.js";

/** Names in lower case; several values of one name are joined by NUL. */
export type Headers = ReadonlyMap<string, string>;

const maxBlockBytes = 64 * 1024;
const maxHeaders = 100;
const options = { dictionary, flush: constants.Z_SYNC_FLUSH };

export class HeaderReader {
  readonly #codec = new BlockCodec(createInflate(options));

  async read(block: Uint8Array): Promise<Headers> {
    return parseHeaders(await this.#codec.run(block));
  }

  close(): void {
    this.#codec.close();
  }
}

export class HeaderWriter {
  readonly #codec = new BlockCodec(createDeflate({ ...options, level: constants.Z_BEST_COMPRESSION }));

  async write(headers: Headers): Promise<Buffer> {
    return await this.#codec.run(formatHeaders(headers));
  }

  close(): void {
    this.#codec.close();
  }
}

/** One block at a time through a zlib stream that keeps its state. */
class BlockCodec {
  readonly #zlib: Inflate | Deflate;
  #parts: Buffer[] = [];
  #bytes = 0;
  #fail: (error: Error) => void = () => undefined;

  constructor(zlib: Inflate | Deflate) {
    this.#zlib = zlib;
    zlib.on("data", (part: Buffer) => {
      this.#parts.push(part);
      this.#bytes += part.length;
      if (this.#bytes > maxBlockBytes) zlib.destroy(broken("a header block is too large"));
    });
    zlib.on("error", (error: Error) => {
      this.#fail(error.name === "RuntimeError" ? error : broken(`a header block can't be read: ${error.message}`));
    });
    zlib.on("close", () => {
      this.#fail(broken("the connection was closed"));
    });
  }

  async run(block: Uint8Array): Promise<Buffer> {
    this.#parts = [];
    this.#bytes = 0;
    await new Promise<void>((resolve, reject) => {
      this.#fail = reject;
      this.#zlib.write(block, () => {
        resolve();
      });
    });
    return Buffer.concat(this.#parts, this.#bytes);
  }

  close(): void {
    this.#zlib.destroy();
  }
}

function parseHeaders(block: Buffer): Headers {
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw broken("a header block is too short");
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (at + length > block.length) throw broken("a header block is too short");
    at += length;
    return block.toString("latin1", at - length, at);
  };
  const count = number();
  if (count > maxHeaders) throw broken(`${String(count)} headers`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

function formatHeaders(headers: Headers): Buffer {
  const parts = [numberOf(headers.size)];
  for (const [name, value] of headers) {
    for (const part of [name, value])
      parts.push(numberOf(Buffer.byteLength(part, "latin1")), Buffer.from(part, "latin1"));
  }
  return Buffer.concat(parts);
}

function numberOf(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
