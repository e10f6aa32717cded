/** From an upgrade request to the protocol that both sides speak (k8s.io/streaming pkg/httpstream). */
import { createWebSocketStream } from "ws";
import { commandOverSpdy } from "./command/over-spdy.js";
import { commandOverWebSocket } from "./command/over-websocket.js";
import { forwardOverSpdy } from "./port-forward/over-spdy.js";
import { forwardOverWebSocket } from "./port-forward/over-websocket.js";
import {
  listed,
  negotiate,
  portForwardProtocol,
  spdyCommandProtocols,
  tunnelProtocol,
  webSocketCommandProtocols,
  webSocketForwardProtocols,
} from "./protocols.js";
import { refuse } from "./refuse.js";
import type { CommandRequest, ForwardRequest, StreamRequest } from "./requests.js";
import { serveWebSocket, type Upgradable } from "./websocket/upgrade.js";

/** Serves one request on one connection to its end. */
export async function upgrade(client: Upgradable, wanted: StreamRequest, stopped: AbortSignal): Promise<void> {
  const to = (client.request.headers.upgrade ?? "").toLowerCase();
  if (to.includes("spdy/3.1")) await overSpdy(client, wanted, stopped);
  else if (to.includes("websocket")) await overWebSocket(client, wanted, stopped);
  else refuse(client.socket, 400, "upgrade to SPDY/3.1 or websocket needed");
}

async function overSpdy(client: Upgradable, wanted: StreamRequest, stopped: AbortSignal): Promise<void> {
  const { request, socket, head } = client;
  const offered = listed(request.headersDistinct["x-stream-protocol-version"]?.join(","));
  if (offered.length === 0) {
    refuse(socket, 400, "header X-Stream-Protocol-Version is missing");
    return;
  }
  const known = wanted.kind === "portforward" ? [portForwardProtocol] : [...spdyCommandProtocols.keys()];
  const protocol = negotiate(offered, known);
  if (protocol === undefined) {
    const accepted = { "X-Accepted-Stream-Protocol-Versions": known.join(", ") };
    refuse(socket, 403, `unable to upgrade: none of ${offered.join(", ")} is spoken here`, accepted);
    return;
  }
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  if (wanted.kind === "portforward") await forwardOverSpdy(socket, wanted, stopped);
  else await commandOverSpdy(socket, wanted, spdyCommandProtocols.get(protocol) ?? 4, stopped);
}

async function overWebSocket(client: Upgradable, wanted: StreamRequest, stopped: AbortSignal): Promise<void> {
  if (wanted.kind === "portforward") await forwardOver(client, wanted, stopped);
  else await commandOver(client, wanted, stopped);
}

async function commandOver(client: Upgradable, wanted: CommandRequest, stopped: AbortSignal): Promise<void> {
  const name = chosenProtocol(client, [...webSocketCommandProtocols.keys()]);
  const protocol = name === undefined ? undefined : webSocketCommandProtocols.get(name);
  if (name === undefined || protocol === undefined) return;
  await serveWebSocket(client, name, (webSocket) => commandOverWebSocket(webSocket, wanted, protocol, stopped));
}

async function forwardOver(client: Upgradable, wanted: ForwardRequest, stopped: AbortSignal): Promise<void> {
  const name = chosenProtocol(client, [tunnelProtocol, ...webSocketForwardProtocols.keys()]);
  if (name === undefined) return;
  const protocol = webSocketForwardProtocols.get(name);
  await serveWebSocket(client, name, (webSocket) =>
    protocol === undefined
      ? forwardOverSpdy(createWebSocketStream(webSocket), wanted, stopped)
      : forwardOverWebSocket(webSocket, wanted, protocol, stopped),
  );
}

/** Undefined when it was refused. */
function chosenProtocol(client: Upgradable, known: readonly string[]): string | undefined {
  const offered = listed(client.request.headers["sec-websocket-protocol"]);
  const chosen = negotiate(offered.length === 0 ? [""] : offered, known);
  if (chosen === undefined) refuse(client.socket, 403, `none of ${offered.join(", ")} is spoken here`);
  return chosen;
}
