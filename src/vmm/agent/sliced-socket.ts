import { Socket } from "node:net";

/** Frames of one byte that are read together cost 20 µs each: this many bytes of them are some 30 ms. */
const sliceBytes = 16 * 1024;

/**
 * A connection that hands on at most a slice of what has arrived in one turn of the loop. Given a socket itself, node:http2
 * reads 64 KiB and more of it at once, has a callback for each frame in them, and no way to take less: a guest that sends
 * nothing but small frames would keep all others waiting for as long.
 *
 * A `Socket` because grpc-js asks for one; it has no descriptor, and all that makes one of it is asked of the inner one.
 */
export class SlicedSocket extends Socket {
  readonly #inner: Socket;
  #isWanted = false;
  #isDue = false;

  /** Takes `inner` over, which is paused: what has been put back into it comes first. */
  constructor(inner: Socket) {
    super();
    this.#inner = inner;
    inner.on("readable", () => {
      this.#handOn();
    });
    inner.once("end", () => {
      this.push(null);
    });
    inner.once("error", (error) => this.destroy(error));
    inner.once("close", () => {
      // After its end there is what has been handed on and not been read yet; this one ends with that.
      if (!inner.readableEnded) this.destroy();
    });
  }

  override _read(): void {
    this.#isWanted = true;
    this.#handOn();
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#inner.write(chunk, done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    const all = chunks.map(({ chunk }) => chunk);
    this.#inner.write(Buffer.concat(all), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#inner.writable) this.#inner.end(done);
    else done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner.destroy();
    super._destroy(error, done);
  }

  #handOn(): void {
    if (this.#isDue || !this.#isWanted || this.destroyed) return;
    const waiting = this.#inner.readableLength;
    const slice: unknown = this.#inner.read(waiting > sliceBytes ? sliceBytes : undefined);
    if (!(slice instanceof Uint8Array)) return;
    this.#isWanted = false;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#handOn();
    });
    this.push(slice);
  }
}
