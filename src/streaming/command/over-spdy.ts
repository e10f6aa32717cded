import { anyOf } from "../../base/signals.js";
import type { Duplex } from "node:stream";
import { RuntimeError } from "../../base/errors.js";
import { orAborted } from "../../base/or-aborted.js";
import { stage } from "../../base/stage.js";
import type { CommandVersion } from "../protocols.js";
import type { CommandRequest } from "../requests.js";
import { SpdySession } from "../spdy/session.js";
import type { SpdyStream } from "../spdy/stream.js";
import { outcomeOf } from "./outcome.js";
import { statusText } from "./status.js";
import { terminalSizes } from "./terminal-sizes.js";

/** For the client to open all of its streams (k8s.io/kubelet pkg/cri/streaming/remotecommand/httpstream.go). */
const streamsMs = 30_000;

/** Streams that the client is to open, by their header `streamtype`. */
function expectedStreams(request: CommandRequest, version: CommandVersion): Set<string> {
  const expected = new Set(["error"]);
  if (request.stdin) expected.add("stdin");
  if (request.stdout) expected.add("stdout");
  if (request.stderr) expected.add("stderr");
  if (request.tty && version >= 3) expected.add("resize");
  return expected;
}

/**
 * One exec or attach: a stream per channel (k8s.io/kubelet pkg/cri/streaming/remotecommand/httpstream.go). Resolves when
 * the connection is closed.
 */
export async function commandOverSpdy(
  connection: Duplex,
  request: CommandRequest,
  version: CommandVersion,
  stopped: AbortSignal,
): Promise<void> {
  const opened = new OpenedStreams(expectedStreams(request, version));
  const session = new SpdySession(connection, {
    maxStreams: 8,
    allows: (headers) => opened.expects(headers.get("streamtype")),
    opened: (stream) => {
      opened.add(stream);
    },
  });
  const signal = anyOf(session.gone, stopped);
  try {
    await stage("wait for the client's streams", streamsMs, signal, (limit) => orAborted(opened.complete, limit));
    await converse(request, version, opened, signal);
  } catch {
    // The client has gone, or never opened its streams: nobody is left to tell.
  } finally {
    await session.close();
  }
}

async function converse(
  request: CommandRequest,
  version: CommandVersion,
  opened: OpenedStreams,
  signal: AbortSignal,
): Promise<void> {
  const [stdin, stdout, stderr] = [opened.find("stdin"), opened.find("stdout"), opened.find("stderr")];
  // The first version knew no half-close: the server has nothing to say there and ends it at once.
  if (version === 1) await stdin?.end();
  const sizes = terminalSizes(opened.find("resize") ?? nothing());
  const outcome = await outcomeOf(request, { stdin, stdout, stderr, sizes }, signal);
  await stdout?.end();
  await stderr?.end();
  const error = opened.find("error");
  await error?.write(Buffer.from(statusText(version, outcome)));
  await error?.end();
}

// eslint-disable-next-line @typescript-eslint/require-await -- an empty stream
async function* nothing(): AsyncGenerator<Uint8Array, void> {
  yield* [];
}

class OpenedStreams {
  /** Settles when every expected stream is there. */
  readonly complete: Promise<void>;
  readonly #missing: Set<string>;
  readonly #found = new Map<string, SpdyStream>();
  #settle: () => void = () => undefined;

  constructor(expected: Set<string>) {
    this.#missing = expected;
    this.complete = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  expects(type: string | undefined): boolean {
    return type !== undefined && this.#missing.has(type);
  }

  add(stream: SpdyStream): void {
    const type = stream.headers.get("streamtype");
    if (type === undefined || !this.#missing.delete(type)) throw new RuntimeError("internal", "an unexpected stream");
    this.#found.set(type, stream);
    if (this.#missing.size === 0) this.#settle();
  }

  find(type: string): SpdyStream | undefined {
    return this.#found.get(type);
  }
}
