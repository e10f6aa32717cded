import { createServer, type Server, type Socket } from "node:net";
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { descriptorOf, listenOnUnixSocket } from "../../base/unix-socket.js";
import type { PeerCredentials } from "../../native/addon.js";

/** For the daemon's user and group alone: whoever may talk to it rules the node's pods. */
const socketMode = 0o660;

export interface CriSocketOptions {
  readonly path: string;
  /** SO_PEERCRED of a descriptor. */
  readonly peerOf: (fd: number) => PeerCredentials;
  readonly log: Logger;
  /** Takes a connection of somebody who may talk to the daemon. */
  readonly onConnection: (socket: Socket) => void;
}

/**
 * Listens on the CRI socket. `alreadyExists` when somebody answers there. It is closed twice: by its mode from the first
 * moment on, and to peers that are neither root nor the daemon's own user, however they came past the mode.
 */
export async function listenOnCriSocket(options: CriSocketOptions): Promise<Server> {
  const { path } = options;
  const server = createServer((socket) => {
    if (mayTalk(socket, options)) options.onConnection(socket);
    else socket.destroy();
  });
  await listenOnUnixSocket(server, path, socketMode);
  server.on("error", (error) => {
    options.log.warn({ socket: path, err: messageOf(error) }, "could not take a client's connection");
  });
  return server;
}

function mayTalk(socket: Socket, { path, peerOf, log }: CriSocketOptions): boolean {
  const fd = descriptorOf(socket);
  if (fd === undefined) return false; // it has gone already
  const peer = peerOf(fd);
  if (peer.uid === 0 || peer.uid === process.geteuid?.()) return true;
  log.warn({ socket: path, peer }, "refused a client that is not root");
  return false;
}
