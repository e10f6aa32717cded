import {
  type Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import type { Duplex } from "node:stream";
import { RuntimeError } from "../../base/errors.js";
import { toStatus } from "../../grpc/status.js";
import type { Caller } from "../core/caller.js";
import { healthPaths } from "../listen/grpc/health.js";
import type { GrpcProtocol } from "../listen/protocol.js";
import { shownToken } from "../listen/who/tokens.js";
import type { PodToken } from "./pod-token.js";

/** What a client sends is small here: files go over HTTP. Nobody has shown who they are. */
const longestRequest = 1024 * 1024;
const longestAnswer = 16 * 1024 * 1024;
const mostStreams = 64;
const sessionMib = 16;
const lifeSignMs = 60_000;
const idleMs = 300_000;

interface PodGuard {
  readonly token: PodToken;
  /** Of a call that is refused. */
  readonly tell: (why: string) => void;
}

/** gRPC at a port of one pod: whoever calls, calls about that pod. With a token it is asked of every call but of health. */
export class PodGrpc {
  readonly #server: Server;
  readonly #entry: ReturnType<Server["createConnectionInjector"]>;

  constructor(caller: Caller, services: readonly GrpcProtocol[], guard?: PodGuard) {
    this.#server = new Server({
      "grpc.max_receive_message_length": longestRequest,
      "grpc.max_send_message_length": longestAnswer,
      "grpc.max_concurrent_streams": mostStreams,
      "grpc.keepalive_time_ms": lifeSignMs,
      "grpc.keepalive_timeout_ms": lifeSignMs,
      "grpc.max_connection_idle_ms": idleMs,
      "grpc-node.max_session_memory": sessionMib,
      ...(guard === undefined ? {} : { interceptors: [guarding(guard)] }),
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

/** Before a service sees the call. */
function guarding({ token, tell }: PodGuard): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, admit) => {
            const shown = shownToken(textOf(metadata, "authorization"), textOf(metadata, "x-api-key"));
            if (healthPaths.has(path) || (shown !== undefined && token.isThatOf(shown))) {
              admit(metadata);
              return;
            }
            const why = shown === undefined ? "a token is needed" : "the token is not this pod's";
            tell(why);
            call.sendStatus(
              toStatus(new RuntimeError("unauthenticated", why, { hint: "authorization: Bearer TOKEN" })),
            );
          },
        });
      },
    });
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return typeof value === "string" ? value : undefined;
}
