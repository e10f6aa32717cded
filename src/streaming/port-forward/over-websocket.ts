import { anyOf } from "../../base/signals.js";
import type { WebSocket } from "ws";
import type { WebSocketProtocol } from "../protocols.js";
import type { ForwardRequest } from "../requests.js";
import { ChannelSocket } from "../websocket/channel-socket.js";
import { forward } from "./forward.js";

/**
 * Port i of the request has the channels 2i (data) and 2i + 1 (error); the first message on each is the port, two bytes,
 * little endian (k8s.io/kubelet pkg/cri/streaming/portforward/websocket.go). One connection per port. Resolves when the client's connection is closed.
 */
export async function forwardOverWebSocket(
  socket: WebSocket,
  request: ForwardRequest,
  protocol: WebSocketProtocol,
  stopped: AbortSignal,
): Promise<void> {
  const peer = new ChannelSocket(
    socket,
    protocol,
    request.ports.map((_, index) => 2 * index),
  );
  const signal = anyOf(peer.gone, stopped);
  try {
    await Promise.all(request.ports.map((port, index) => forwardPort(peer, port, index, request, signal)));
  } catch {
    // The client has gone.
  } finally {
    await peer.close();
  }
}

async function forwardPort(
  peer: ChannelSocket,
  port: number,
  index: number,
  request: ForwardRequest,
  signal: AbortSignal,
): Promise<void> {
  const [data, error] = [2 * index, 2 * index + 1];
  const name = Buffer.alloc(2);
  name.writeUInt16LE(port);
  await peer.send(data, name);
  await peer.send(error, name);
  const pair = {
    received: peer.received(data),
    data: peer.sink(data),
    endData: () => Promise.resolve(), // these protocols end with the connection
    breakOff: () => Promise.resolve(),
    tell: (message: string) => peer.send(error, Buffer.from(message)),
  };
  await forward(pair, port, request, signal);
}
