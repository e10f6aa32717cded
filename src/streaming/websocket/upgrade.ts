import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { RuntimeError } from "../../base/errors.js";

const maxPayloadBytes = 4 * 1024 * 1024;

export interface Upgradable {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** What came after the request's headers already. */
  readonly head: Buffer;
}

export interface WebSocketOptions {
  /** Of one message of the client's. */
  readonly maxPayload?: number;
  /** Headers of the answer. */
  readonly more?: Readonly<Record<string, string>>;
}

/**
 * Answers a WebSocket's handshake with the protocol that was chosen ("": none named). The choice is made before and kept
 * from `ws`, whose grammar has no room for the "/" in "SPDY/3.1+portforward.k8s.io" (it is right: RFC 6455 has none).
 *
 * `serve` gets the WebSocket at once and must listen to it before it waits for anything: what the client has sent along with
 * its request is read as soon as the handshake is answered, and an error that nobody listens to would end the daemon.
 */
export async function serveWebSocket(
  { request, socket, head }: Upgradable,
  protocol: string,
  serve: (webSocket: WebSocket) => Promise<void>,
  { maxPayload = maxPayloadBytes, more = {} }: WebSocketOptions = {},
): Promise<void> {
  const server = new WebSocketServer({ noServer: true, maxPayload, perMessageDeflate: false });
  server.on("headers", (headers) => {
    if (protocol !== "") headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
    for (const [name, value] of Object.entries(more)) headers.push(`${name}: ${value}`);
  });
  delete request.headers["sec-websocket-protocol"];
  if (!socket.readable || !socket.writable) {
    socket.destroy(); // as `ws` does, which tells nobody
    throw new RuntimeError("canceled", "the client has gone before its handshake was answered");
  }
  const idleTimeoutMs = socket instanceof Socket ? socket.timeout : undefined;
  await new Promise<void>((resolve, reject) => {
    // `ws` answers a malformed handshake itself and closes.
    server.on("wsClientError", reject);
    server.handleUpgrade(request, socket, head, (webSocket) => {
      // `ws` has switched it off.
      if (socket instanceof Socket && idleTimeoutMs !== undefined) socket.setTimeout(idleTimeoutMs);
      serve(webSocket).then(resolve, reject);
    });
  });
}
