import { RuntimeError } from "../../base/errors.js";
import { ByteQueue } from "../byte-queue.js";
import type { Headers } from "./headers.js";
import { dataFrame, resetFrame, resetStatus } from "./frames.js";

/** Unread bytes of one stream at which the whole connection waits: SPDY's clients here know no flow control. */
const maxUnreadBytes = 256 * 1024;
/** Small enough that streams of one connection take turns (as moby/spdystream has it). */
const maxFrameBytes = 32 * 1024;

/** What a stream needs of its session. */
export interface StreamOwner {
  /** Resolves when more may be sent; rejects when the connection has gone. */
  send(frame: Buffer): Promise<void>;
  forget(streamId: number): void;
}

/** One stream that the client has opened. Reading ends at the client's FIN, at a reset and with the connection. */
export class SpdyStream implements AsyncIterable<Uint8Array> {
  readonly id: number;
  readonly headers: Headers;
  readonly #owner: StreamOwner;
  readonly #received = new ByteQueue(maxUnreadBytes);
  #ended = { theirs: false, ours: false };
  #wasReset = false;

  constructor(id: number, headers: Headers, owner: StreamOwner) {
    this.id = id;
    this.headers = headers;
    this.#owner = owner;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.#received[Symbol.asyncIterator]();
  }

  /** True when both directions were ended at once, by whichever side. */
  get wasReset(): boolean {
    return this.#wasReset;
  }

  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += maxFrameBytes) {
      if (this.#ended.ours) throw new RuntimeError("canceled", "the stream has ended");
      await this.#owner.send(dataFrame(this.id, false, data.subarray(at, at + maxFrameBytes)));
    }
  }

  /** FIN: we have said all. The client may go on. */
  async end(): Promise<void> {
    if (this.#ended.ours) return;
    this.#ended.ours = true;
    this.#forgetWhenDone();
    await this.#owner.send(dataFrame(this.id, true, Buffer.alloc(0)));
  }

  /** Ends both directions at once; the client sees an end, not an error. */
  async reset(): Promise<void> {
    if (this.#ended.ours && this.#ended.theirs) return;
    this.abandon();
    await this.#owner.send(resetFrame(this.id, resetStatus.cancel));
  }

  /** For the session: bytes of the client; resolves when there is room for more. */
  async deliver(data: Uint8Array): Promise<void> {
    await this.#received.push(data);
  }

  /** For the session: the client's FIN. */
  endReceived(): void {
    this.#ended.theirs = true;
    this.#received.end();
    this.#forgetWhenDone();
  }

  /** For the session: a reset came, or the connection has gone. */
  abandon(): void {
    this.#wasReset ||= !(this.#ended.theirs && this.#ended.ours);
    this.#ended = { theirs: true, ours: true };
    this.#received.end();
    this.#forgetWhenDone();
  }

  #forgetWhenDone(): void {
    if (this.#ended.theirs && this.#ended.ours) this.#owner.forget(this.id);
  }
}
