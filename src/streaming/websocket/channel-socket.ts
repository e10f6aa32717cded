import type { WebSocket } from "ws";
import { type RawData } from "ws";
import { RuntimeError } from "../../base/errors.js";
import { ByteQueue } from "../byte-queue.js";
import type { ByteSink } from "../requests.js";
import type { WebSocketProtocol } from "../protocols.js";

const maxUnreadBytes = 256 * 1024;
const maxMessageBytes = 32 * 1024;
/** Of version 5: the second byte names a channel on which the client will say no more. */
const closeChannel = 255;
/**
 * While we don't read, only a failed write tells that the client has gone, and the client hears nothing on its pings:
 * client-go gives up after 61 s without a pong, which need not be asked for (RFC 6455, 5.5.3).
 */
const probeMs = 15_000;
const normalClosure = 1000;

/**
 * Channels in the messages of a WebSocket: a byte with the channel's number, then what goes there; in the base64
 * variants a digit, then base64 (k8s.io/streaming pkg/httpstream/wsstream). Channels that the client may write to are named at the start; what
 * comes for others is dropped.
 */
export class ChannelSocket {
  readonly #socket: WebSocket;
  readonly #protocol: WebSocketProtocol;
  readonly #received = new Map<number, ByteQueue>();
  readonly #gone = new AbortController();
  readonly closed: Promise<void>;

  constructor(socket: WebSocket, protocol: WebSocketProtocol, readable: readonly number[]) {
    this.#socket = socket;
    this.#protocol = protocol;
    for (const channel of readable) this.#received.set(channel, new ByteQueue(maxUnreadBytes));
    socket.on("error", () => undefined); // "close" follows
    socket.on("message", (data, isBinary) => {
      this.#receive(bytesOf(data), isBinary);
    });
    this.closed = new Promise((resolve) => {
      socket.once("close", resolve);
    });
    const probe = setInterval(() => {
      if (socket.isPaused) socket.pong();
    }, probeMs);
    probe.unref();
    void this.closed.then(() => {
      clearInterval(probe);
      this.#end();
    });
  }

  /** Aborted when the client has gone, or `close` was called. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** What the client writes to a channel; ends when it closes the channel or goes. */
  received(channel: number): AsyncIterable<Uint8Array> {
    const queue = this.#received.get(channel);
    if (queue === undefined) throw new RuntimeError("internal", `channel ${String(channel)} is not read`);
    return queue;
  }

  sink(channel: number): ByteSink {
    return {
      write: async (bytes) => {
        for (let at = 0; at < bytes.length; at += maxMessageBytes) {
          await this.send(channel, bytes.subarray(at, at + maxMessageBytes));
        }
      },
    };
  }

  /** One message, also an empty one. Resolves when it has left; rejects when the client has gone. */
  async send(channel: number, bytes: Uint8Array): Promise<void> {
    const message =
      this.#protocol.encoding === "base64"
        ? String(channel) + Buffer.from(bytes).toString("base64")
        : Buffer.concat([Buffer.from([channel]), bytes]);
    await new Promise<void>((resolve, reject) => {
      this.#socket.send(message, (error) => {
        if (error instanceof Error) reject(new RuntimeError("canceled", "the client has gone", { cause: error }));
        else resolve();
      });
    });
  }

  /** A normal end; resolves when the connection is closed, at the latest after the limit of `ws` (30 s). */
  async close(): Promise<void> {
    this.#end();
    this.#socket.close(normalClosure);
    this.#socket.resume();
    await this.closed;
  }

  #end(): void {
    this.#gone.abort(new RuntimeError("canceled", "the client has gone"));
    for (const queue of this.#received.values()) queue.end();
  }

  #receive(message: Buffer, isBinary: boolean): void {
    const base64 = this.#protocol.encoding === "base64";
    if (message.length === 0 || base64 === isBinary) return;
    const channel = base64 ? message.readUInt8(0) - 0x30 : message.readUInt8(0);
    const rest = message.subarray(1);
    if (this.#protocol.version === 5 && channel === closeChannel) {
      for (const closed of rest) this.#received.get(closed)?.end();
      return;
    }
    const queue = this.#received.get(channel);
    if (queue === undefined) return;
    const room = queue.push(base64 ? Buffer.from(rest.toString("latin1"), "base64") : rest);
    if (!queue.isFull) return;
    this.#socket.pause();
    void room.then(() => {
      if (![...this.#received.values()].some(({ isFull }) => isFull)) this.#socket.resume();
    });
  }
}

function bytesOf(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
