import { broken, frameHeaderBytes, parseControl, parseHead, type Frame } from "./frames.js";

/** A control frame of any sane client is a few headers. */
const maxControlBytes = 64 * 1024;

/**
 * The frames in a stream of bytes, until it ends; an end in the middle of a frame is an end. Data frames come in parts
 * as their bytes come: a frame may announce 16 MiB. Throws `invalidArgument` for what is no SPDY/3.1.
 */
export async function* readFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void> {
  const bytes = new Unread(source);
  for (;;) {
    const head = await bytes.exactly(frameHeaderBytes);
    if (head === undefined) return;
    const { control, fin, lengthBytes, streamId } = parseHead(head);
    if (control) {
      if (lengthBytes > maxControlBytes) throw broken(`a control frame of ${String(lengthBytes)} bytes`);
      const payload = await bytes.exactly(lengthBytes);
      if (payload === undefined) return;
      yield parseControl(parseHead(head), payload);
      continue;
    }
    let left = lengthBytes;
    do {
      const data = left === 0 ? Buffer.alloc(0) : await bytes.upTo(left);
      if (data === undefined) return;
      left -= data.length;
      yield { type: "data", streamId, fin: fin && left === 0, data };
    } while (left > 0);
  }
}

/** What has come and was not taken yet. */
class Unread {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Undefined when the source ends before. */
  async exactly(count: number): Promise<Buffer | undefined> {
    while (this.#rest.length < count) {
      const more = await this.#more();
      if (more === undefined) return undefined;
      this.#rest = this.#rest.length === 0 ? more : Buffer.concat([this.#rest, more]);
    }
    return this.#take(count);
  }

  /** At least one byte, at most so many. */
  async upTo(count: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const more = await this.#more();
      if (more === undefined) return undefined;
      this.#rest = more;
    }
    return this.#take(Math.min(count, this.#rest.length));
  }

  async #more(): Promise<Buffer<ArrayBuffer> | undefined> {
    const next = await this.#source.next();
    if (next.done === true) return undefined;
    const { buffer, byteOffset, byteLength } = next.value;
    return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
  }

  #take(count: number): Buffer {
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }
}
