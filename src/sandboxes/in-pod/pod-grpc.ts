import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Duplex } from "node:stream";
import type { Caller } from "../core/caller.js";
import type { GrpcProtocol } from "../listen/protocol.js";

/** What a client sends is small here: files go over HTTP. Nobody has shown who they are. */
const longestRequest = 1024 * 1024;
const longestAnswer = 16 * 1024 * 1024;
const mostStreams = 64;
const sessionMib = 16;
const lifeSignMs = 60_000;
const idleMs = 300_000;

/** gRPC at a port of one pod: whoever calls, calls about that pod. */
export class PodGrpc {
  readonly #server: Server;
  readonly #entry: ReturnType<Server["createConnectionInjector"]>;

  constructor(caller: Caller, services: readonly GrpcProtocol[]) {
    this.#server = new Server({
      "grpc.max_receive_message_length": longestRequest,
      "grpc.max_send_message_length": longestAnswer,
      "grpc.max_concurrent_streams": mostStreams,
      "grpc.keepalive_time_ms": lifeSignMs,
      "grpc.keepalive_timeout_ms": lifeSignMs,
      "grpc.max_connection_idle_ms": idleMs,
      "grpc-node.max_session_memory": sessionMib,
    });
    const who = { caller: () => caller, sandbox: () => undefined };
    for (const one of services) this.#server.addService(one.service, one.implementation(who));
    this.#entry = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  take(stream: Duplex): void {
    stream.allowHalfOpen = false; // nothing of HTTP/2 comes after its end
    this.#entry.injectConnection(stream);
  }

  close(): void {
    this.#server.forceShutdown();
  }
}
