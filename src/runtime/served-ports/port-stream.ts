import { Duplex } from "node:stream";
import type { PortConnection } from "../../vmm/agent/agent-client.js";

/** A connection of a pod as a stream, with what Node's HTTP asks of sockets beside: its client and its servers take it. */
export class PortStream extends Duplex {
  readonly #connection: PortConnection;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #reading = false;
  #idleMs = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(connection: PortConnection) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.#chunks = connection[Symbol.asyncIterator]();
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#chunks.next().then(
      (next) => {
        this.#reading = false;
        this.#moved();
        this.push(next.done === true ? null : next.value);
      },
      (cause: unknown) => {
        this.destroy(cause instanceof Error ? cause : new Error(String(cause)));
      },
    );
  }

  override _write(chunk: unknown, _encoding: string, done: (error?: Error | null) => void): void {
    if (!(chunk instanceof Uint8Array)) {
      done(new TypeError("bytes are written"));
      return;
    }
    this.#connection.write(chunk).then(
      () => {
        this.#moved();
        done();
      },
      (cause: unknown) => {
        done(cause instanceof Error ? cause : new Error(String(cause)));
      },
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#connection.close();
    done(error);
  }

  /** As a socket's: "timeout" after that long without a byte either way, and nothing else. 0: never. */
  setTimeout(ms: number, listener?: () => void): this {
    this.#idleMs = ms;
    clearTimeout(this.#idle);
    this.#idle = undefined;
    if (listener !== undefined) this.once("timeout", listener);
    this.#moved();
    return this;
  }

  /** What else is done to sockets, and means nothing here. */
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  #moved(): void {
    if (this.#idleMs === 0 || this.destroyed) return;
    if (this.#idle === undefined) {
      this.#idle = setTimeout(() => {
        this.#idle = undefined;
        this.emit("timeout");
      }, this.#idleMs).unref();
    } else this.#idle.refresh();
  }
}
