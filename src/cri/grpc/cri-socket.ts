import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
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
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await removeStaleSocket(path);
  const server = createServer((socket) => {
    if (mayTalk(socket, options)) options.onConnection(socket);
    else socket.destroy();
  });
  await bind(server, path);
  server.on("error", (error) => {
    options.log.warn({ socket: path, err: messageOf(error) }, "could not take a client's connection");
  });
  await chmod(path, socketMode);
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

/** Node tells it nowhere else. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

/** The socket has its mode from the first moment: nobody else can connect before it is changed. */
async function bind(server: Server, path: string): Promise<void> {
  const before = process.umask(0o777 & ~socketMode);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => {
        reject(new RuntimeError("unavailable", messageOf(error), { stage: `listen on ${path}`, cause: error }));
      });
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
}

/** A socket that an earlier daemon has left is removed; one where somebody answers is not ours to take. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) {
      throw new RuntimeError("alreadyExists", `${path} is not a socket`, { hint: "remove it, or set listen" });
    }
  } catch (thrown) {
    if (isNotFound(thrown)) return;
    throw thrown;
  }
  if (await someoneAnswers(path)) {
    throw new RuntimeError("alreadyExists", `another process serves ${path}`, { hint: "stop it, or set listen" });
  }
  await rm(path, { force: true });
}

function someoneAnswers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(path);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", (error) => {
      if (errnoOf(error) === "ECONNREFUSED" || isNotFound(error)) resolve(false);
      else reject(error);
    });
  });
}
