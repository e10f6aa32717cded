import { Duplex } from "node:stream";
import type { PortConnection } from "../../../vmm/agent/agent-client.js";

/** A connection to a port of a sandbox, as Node's HTTP client wants one. */
export class PortStream extends Duplex {
  readonly #connection: PortConnection;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #reading = false;

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
    this.#connection.close();
    done(error);
  }

  /** What Node's HTTP client does to sockets, and means nothing here. */
  setTimeout(): this {
    return this;
  }
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
}
