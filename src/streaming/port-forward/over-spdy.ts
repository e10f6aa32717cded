import { anyOf } from "../../base/signals.js";
import type { Duplex } from "node:stream";
import { RuntimeError } from "../../base/errors.js";
import type { ForwardRequest } from "../requests.js";
import type { Headers } from "../spdy/headers.js";
import { SpdySession } from "../spdy/session.js";
import type { SpdyStream } from "../spdy/stream.js";
import { forward } from "./forward.js";

/** Two for each connection. */
const maxStreams = 512;
/** For the second stream of a pair (k8s.io/kubelet pkg/cri/streaming/portforward/httpstream.go). */
const pairMs = 30_000;

/** Every pair of streams is a connection of its own, for hours. Resolves when the client's connection is closed. */
export async function forwardOverSpdy(
  connection: Duplex,
  request: ForwardRequest,
  stopped: AbortSignal,
): Promise<void> {
  const pairs = new Pairs((data, error, port) => {
    void forward(pairOf(data, error), port, request, anyOf(session.gone, stopped));
  });
  const session: SpdySession = new SpdySession(connection, {
    maxStreams,
    allows: (headers) => portOf(headers) !== undefined && isType(headers.get("streamtype")),
    opened: (stream) => {
      pairs.add(stream);
    },
  });
  const close = (): void => {
    void session.close();
  };
  stopped.addEventListener("abort", close, { once: true });
  if (stopped.aborted) close();
  try {
    await session.closed;
  } finally {
    stopped.removeEventListener("abort", close);
    pairs.close();
  }
}

function isType(type: string | undefined): boolean {
  return type === "data" || type === "error";
}

function portOf(headers: Headers): number | undefined {
  const text = headers.get("port") ?? "";
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function pairOf(data: SpdyStream, error: SpdyStream) {
  return {
    received: wholeOf(data),
    data,
    endData: async (): Promise<void> => {
      await data.end();
      await error.end();
    },
    breakOff: async (): Promise<void> => {
      await error.end();
      await data.reset();
    },
    tell: async (message: string): Promise<void> => {
      await error.write(Buffer.from(message));
      await error.end();
      await data.reset();
    },
  };
}

/** A stream that was reset has not ended: its connection is broken off. */
async function* wholeOf(data: SpdyStream): AsyncGenerator<Uint8Array, void> {
  yield* data;
  if (data.wasReset) throw new RuntimeError("canceled", "the client has reset the stream");
}

type OnPair = (data: SpdyStream, error: SpdyStream, port: number) => void;

/** Streams that wait for their other half. */
class Pairs {
  readonly #waiting = new Map<string, { readonly stream: SpdyStream; readonly timer: NodeJS.Timeout }>();
  readonly #onPair: OnPair;

  constructor(onPair: OnPair) {
    this.#onPair = onPair;
  }

  add(stream: SpdyStream): void {
    const key = requestId(stream);
    const other = this.#waiting.get(key);
    if (other === undefined) {
      const timer = setTimeout(() => {
        this.#waiting.delete(key);
        void giveUp(stream);
      }, pairMs);
      this.#waiting.set(key, { stream, timer });
      return;
    }
    const [data, error] = isData(stream) ? [stream, other.stream] : [other.stream, stream];
    if (!isData(data) || isData(error)) {
      void stream.reset().catch(() => undefined); // the same half twice
      return;
    }
    this.#waiting.delete(key);
    clearTimeout(other.timer);
    const port = portOf(data.headers);
    if (port !== undefined) this.#onPair(data, error, port);
  }

  close(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}

function isData(stream: SpdyStream): boolean {
  return stream.headers.get("streamtype") === "data";
}

/** Old clients send none: their data stream comes directly after its error stream. */
function requestId(stream: SpdyStream): string {
  return stream.headers.get("requestid") ?? String(isData(stream) ? stream.id - 2 : stream.id);
}

async function giveUp(stream: SpdyStream): Promise<void> {
  try {
    if (!isData(stream)) await stream.write(Buffer.from("the data stream of this connection was never opened"));
    await stream.end();
    await stream.reset();
  } catch {
    // The client has gone.
  }
}
