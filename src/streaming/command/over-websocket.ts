import { anyOf } from "../../base/signals.js";
import type { WebSocket } from "ws";
import type { WebSocketProtocol } from "../protocols.js";
import type { CommandRequest } from "../requests.js";
import { ChannelSocket } from "../websocket/channel-socket.js";
import { outcomeOf } from "./outcome.js";
import { statusText } from "./status.js";
import { terminalSizes } from "./terminal-sizes.js";

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/**
 * One exec or attach: a numbered channel per stream (k8s.io/kubelet pkg/cri/streaming/remotecommand/websocket.go).
 * Resolves when the connection is closed.
 */
export async function commandOverWebSocket(
  socket: WebSocket,
  request: CommandRequest,
  protocol: WebSocketProtocol,
  stopped: AbortSignal,
): Promise<void> {
  const { stdin, resize, error } = channels;
  const peer = new ChannelSocket(socket, protocol, [...(request.stdin ? [stdin] : []), resize]);
  const signal = anyOf(peer.gone, stopped);
  const [stdout, stderr] = [request.stdout, request.stderr && !request.tty];
  try {
    // Tells the client that all is set up: an empty message on the lowest channel.
    await peer.send(stdout ? channels.stdout : stderr ? channels.stderr : error, Buffer.alloc(0));
    const outcome = await outcomeOf(
      request,
      {
        stdin: request.stdin ? peer.received(stdin) : undefined,
        stdout: stdout ? peer.sink(channels.stdout) : undefined,
        stderr: stderr ? peer.sink(channels.stderr) : undefined,
        sizes: terminalSizes(peer.received(resize)),
      },
      signal,
    );
    const text = statusText(protocol.version, outcome);
    if (text !== "") await peer.send(error, Buffer.from(text));
  } catch {
    // The client has gone: nobody is left to tell.
  } finally {
    await peer.close();
  }
}
