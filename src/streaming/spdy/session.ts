import type { Duplex } from "node:stream";
import { RuntimeError } from "../../base/errors.js";
import { broken, goAwayFrame, pingFrame, resetFrame, resetStatus, synReplyFrame, type Frame } from "./frames.js";
import { HeaderReader, HeaderWriter, type Headers } from "./headers.js";
import { readFrames } from "./read-frames.js";
import { SpdyStream, type StreamOwner } from "./stream.js";

/** While we don't read, only a failed write tells that the client has gone. */
const probeMs = 15_000;
/** How long a client may take to read what is left and to close. */
const lingerMs = 10_000;

export interface SpdyOptions {
  /** Open at once; more are refused. */
  readonly maxStreams: number;
  /** False: the stream is refused before any answer. */
  allows(headers: Headers): boolean;
  /** A stream that has been answered. Must not throw. */
  opened(stream: SpdyStream): void;
}

/**
 * The server's side of one SPDY/3.1 connection, as spdystream's clients expect it: no flow control but TCP's, a reply to
 * each stream at once, pings echoed, settings and windows ignored (k8s.io/streaming pkg/httpstream/spdy).
 */
export class SpdySession implements StreamOwner {
  readonly #connection: Duplex;
  readonly #options: SpdyOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #headerReader = new HeaderReader();
  readonly #headerWriter = new HeaderWriter();
  readonly #gone = new AbortController();
  /** Settles when the connection is closed. */
  readonly closed: Promise<void>;
  #lastStreamId = 0;
  #lastPingId = 0;
  #closing = false;
  #waitingForReader = false;

  /** Takes the connection over. */
  constructor(connection: Duplex, options: SpdyOptions) {
    this.#connection = connection;
    this.#options = options;
    this.closed = new Promise((resolve) => {
      connection.once("close", () => {
        resolve();
      });
    });
    connection.on("error", () => undefined); // "close" follows
    void this.closed.then(() => {
      this.#end();
    });
    const probe = setInterval(() => {
      this.#probe();
    }, probeMs);
    probe.unref();
    void this.closed.then(() => {
      clearInterval(probe);
    });
    void this.#read();
  }

  /** Aborted when the client has gone, or `close` was called. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get openStreams(): readonly SpdyStream[] {
    return [...this.#streams.values()];
  }

  async send(frame: Buffer): Promise<void> {
    const connection = this.#connection;
    if (connection.destroyed || connection.writableEnded) throw clientGone();
    if (connection.write(frame)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        connection.off("drain", settle).off("close", settle);
        if (connection.destroyed) reject(clientGone());
        else resolve();
      };
      connection.on("drain", settle).on("close", settle);
    });
  }

  forget(streamId: number): void {
    this.#streams.delete(streamId);
  }

  /** Resets what is open, says good-bye and closes once the client has read it all. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const connection = this.#connection;
    if (!connection.destroyed && !connection.writableEnded) {
      for (const stream of this.openStreams) {
        stream.abandon();
        connection.write(resetFrame(stream.id, resetStatus.cancel));
      }
      connection.write(goAwayFrame(this.#lastStreamId));
      connection.end();
    }
    this.#end();
    // Bytes that nobody read would turn the close into a reset, and cost the client what it has not read: `#read` goes on.
    const timer = setTimeout(() => {
      connection.destroy();
    }, lingerMs);
    await this.closed;
    clearTimeout(timer);
  }

  #end(): void {
    this.#gone.abort(clientGone());
    for (const stream of this.openStreams) stream.abandon();
    this.#headerReader.close();
    this.#headerWriter.close();
  }

  async #read(): Promise<void> {
    try {
      for await (const frame of readFrames(this.#connection.iterator({ destroyOnReturn: false }))) {
        if (!this.#closing) await this.#handle(frame);
      }
    } catch {
      // Broken frames or a broken connection: the end, either way.
    }
    this.#connection.destroy();
  }

  async #handle(frame: Frame): Promise<void> {
    switch (frame.type) {
      case "data":
        await this.#deliver(frame.streamId, frame.data);
        if (frame.fin) this.#streams.get(frame.streamId)?.endReceived();
        return;
      case "synStream":
        await this.#open(frame.streamId, frame.fin, await this.#headerReader.read(frame.block));
        return;
      case "synReply":
      case "headers":
        await this.#headerReader.read(frame.block); // keeps the state of the compression
        if (frame.fin) this.#streams.get(frame.streamId)?.endReceived();
        return;
      case "reset":
        this.#streams.get(frame.streamId)?.abandon();
        return;
      case "ping":
        if (frame.id % 2 === 1) await this.send(pingFrame(frame.id)); // even: the answer to ours
        return;
      case "goAway":
      case "ignored":
        return;
    }
  }

  async #deliver(streamId: number, data: Uint8Array): Promise<void> {
    this.#waitingForReader = true;
    await this.#streams.get(streamId)?.deliver(data);
    this.#waitingForReader = false;
  }

  async #open(streamId: number, fin: boolean, headers: Headers): Promise<void> {
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) throw broken(`stream id ${String(streamId)}`);
    this.#lastStreamId = streamId;
    if (this.#streams.size >= this.#options.maxStreams || !this.#options.allows(headers)) {
      await this.send(resetFrame(streamId, resetStatus.refusedStream));
      return;
    }
    const stream = new SpdyStream(streamId, headers, this);
    this.#streams.set(streamId, stream);
    await this.send(synReplyFrame(streamId, await this.#headerWriter.write(new Map())));
    if (fin) stream.endReceived();
    this.#options.opened(stream);
  }

  #probe(): void {
    if (!this.#waitingForReader || this.#closing) return;
    this.#lastPingId += 2;
    this.send(pingFrame(this.#lastPingId)).catch(() => undefined);
  }
}

function clientGone(): RuntimeError {
  return new RuntimeError("canceled", "the client has gone");
}
