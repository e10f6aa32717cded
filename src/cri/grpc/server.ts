import { rm } from "node:fs/promises";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ImageServiceService, RuntimeServiceService } from "../../gen/runtime/v1/api.js";
import type { Deps } from "../deps.js";
import { listenOnCriSocket } from "./cri-socket.js";
import { limitMsOf } from "./limits.js";
import { imageService, runtimeService } from "./services.js";
import { createEdge } from "./unary.js";

/** Largest message either way: what kubelet accepts and may send (k8s.io/cri-client pkg/utils.go, maxMsgSize). */
const maxMessageBytes = 16 * 1024 * 1024;

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
export async function serveCri(
  deps: Deps,
  socketPath: string,
  signs = lifeSigns,
  limitOf = limitMsOf,
): Promise<CriServer> {
  const server = new Server({
    "grpc.keepalive_time_ms": signs.everyMs,
    "grpc.keepalive_timeout_ms": signs.answerMs,
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
  });
  const edge = createEdge(deps, limitOf);
  server.addService(RuntimeServiceService, runtimeService(edge));
  server.addService(ImageServiceService, imageService(edge));
  const entry = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = await listenOnCriSocket({
    path: socketPath,
    peerOf: (fd) => deps.native.peerCredentials(fd),
    log: deps.log,
    onConnection: (socket) => {
      entry.injectConnection(socket);
    },
  });
  return {
    async close(graceMs) {
      listener.close(); // takes no more; those that are connected end with their calls
      await endCalls(server, graceMs);
      await rm(socketPath, { force: true });
    },
  };
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
