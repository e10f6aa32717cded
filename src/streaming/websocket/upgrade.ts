import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";

const maxPayloadBytes = 4 * 1024 * 1024;

/**
 * Answers a WebSocket's handshake with the protocol that was chosen ("": none named). The choice is made before and kept
 * from `ws`, whose grammar has no room for the "/" in "SPDY/3.1+portforward.k8s.io" (it is right: RFC 6455 has none).
 */
export async function upgradeToWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): Promise<WebSocket> {
  const server = new WebSocketServer({ noServer: true, maxPayload: maxPayloadBytes, perMessageDeflate: false });
  server.on("headers", (headers) => {
    if (protocol !== "") headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
  });
  delete request.headers["sec-websocket-protocol"];
  const idleTimeoutMs = socket instanceof Socket ? socket.timeout : undefined;
  return await new Promise<WebSocket>((resolve, reject) => {
    // `ws` answers a malformed handshake itself and closes.
    server.on("wsClientError", reject);
    server.handleUpgrade(request, socket, head, (webSocket) => {
      // `ws` has switched it off.
      if (socket instanceof Socket && idleTimeoutMs !== undefined) socket.setTimeout(idleTimeoutMs);
      resolve(webSocket);
    });
  });
}
