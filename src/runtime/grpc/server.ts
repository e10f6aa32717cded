import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { dirname } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { ImageServiceService, RuntimeServiceService } from "../../gen/runtime/v1/api.js";
import type { Deps } from "../deps.js";
import { imageService, runtimeService } from "./services.js";
import { createEdge } from "./unary.js";

/** Largest message either way: what kubelet accepts and may send (kubelet.md 1.1, CC utils.go maxMsgSize). */
const maxMessageBytes = 16 * 1024 * 1024;
/** For the daemon's user and group alone: whoever may talk to it rules the node's pods. */
const socketMode = 0o660;

export interface CriServer {
  /** Takes no new calls, lets those under way end for `graceMs`, cuts the rest off. */
  close(graceMs: number): Promise<void>;
}

/**
 * Who is connected is asked so often for a sign of life (HTTP/2's PING, which every client answers by itself), and cut off
 * when there is none for `answerMs`: connections of those that hang, or never said a word, would pile up.
 */
const lifeSigns = { everyMs: 60_000, answerMs: 60_000 };

/** Serves both CRI services on a Unix socket. `alreadyExists` when somebody answers there. */
export async function serveCri(deps: Deps, socketPath: string, signs = lifeSigns): Promise<CriServer> {
  const server = new Server({
    "grpc.keepalive_time_ms": signs.everyMs,
    "grpc.keepalive_timeout_ms": signs.answerMs,
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
  });
  const edge = createEdge(deps);
  server.addService(RuntimeServiceService, runtimeService(edge));
  server.addService(ImageServiceService, imageService(edge));
  await mkdir(dirname(socketPath), { recursive: true, mode: 0o711 });
  await removeStaleSocket(socketPath);
  await bind(server, socketPath);
  await chmod(socketPath, socketMode);
  return {
    async close(graceMs) {
      await endCalls(server, graceMs);
      await rm(socketPath, { force: true });
    },
  };
}

/** The socket has its mode from the first moment: nobody else can connect before it is changed. */
async function bind(server: Server, socketPath: string): Promise<void> {
  const before = process.umask(0o777 & ~socketMode);
  try {
    await listen(server, socketPath);
  } finally {
    process.umask(before);
  }
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else
        reject(new RuntimeError("unavailable", messageOf(error), { stage: `listen on ${socketPath}`, cause: error }));
    });
  });
}

function endCalls(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const limit = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(limit);
      resolve();
    });
  });
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
