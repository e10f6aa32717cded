import { Socket } from "node:net";

/** Frames of one byte that are read together cost 20 µs each: this many bytes of them are some 30 ms. */
const sliceBytes = 16 * 1024;
/** Of files, which come in large frames, a slice costs some 30 µs: as many follow each other as fit in here. */
const turnMs = 2;

/**
 * A connection that hands on a slice of what has arrived, and no other in one turn of the loop once that has cost what a turn
 * may. Given a socket itself, node:http2 reads 64 KiB and more of it at once, has a callback for each frame in them, and no way
 * to take less: a guest that sends nothing but small frames would keep all others waiting for as long.
 *
 * A `Socket` because grpc-js asks for one; it has no descriptor, and all that makes one of it is asked of the inner one.
 */
export class SlicedSocket extends Socket {
  readonly #inner: Socket;
  #isWanted = false;
  #isDue = false;
  #turnEndsMs = 0;

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
    if (!this.#isWanted || this.destroyed) return;
    if (this.#isDue && performance.now() > this.#turnEndsMs) return;
    const waiting = this.#inner.readableLength;
    const slice: unknown = this.#inner.read(waiting > sliceBytes ? sliceBytes : undefined);
    if (!(slice instanceof Uint8Array)) return;
    this.#isWanted = false;
    this.#beginTurn();
    this.push(slice);
  }

  #beginTurn(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#turnEndsMs = performance.now() + turnMs;
    setImmediate(() => {
      this.#isDue = false;
      this.#handOn();
    });
  }
}
