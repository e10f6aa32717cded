/** gRPC on the one port: who calls is known before a service sees the call. */
import {
  type Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { RuntimeError } from "../../../base/errors.js";
import { statusName, toStatus } from "../../../grpc/status.js";
import type { PortFigures } from "../../../metrics/port-figures.js";
import type { Caller } from "../../core/caller.js";
import type { Connection } from "../connection.js";
import type { GrpcLimits } from "../options.js";
import type { GrpcProtocol, WhoCalls } from "../protocol.js";
import { sandboxIdIn } from "../sandbox-address.js";
import { isKnownHost } from "../web-pages.js";
import type { JudgeParts } from "../http/judge.js";
import { shownToken } from "../who/tokens.js";

/** Largest message either way: output and files come in smaller pieces. */
const maxMessageBytes = 16 * 1024 * 1024;
/** Of one connection, for all its streams that can't be sent yet. */
const maxSessionMib = 64;
const maxStreams = 1000;

export interface GrpcParts extends JudgeParts {
  readonly services: readonly GrpcProtocol[];
  /** Paths that whoever may connect may call, also where tokens are asked for: whoever restarts the daemon has none. */
  readonly anybody: ReadonlySet<string>;
  readonly figures: PortFigures;
  readonly limits: GrpcLimits;
}

export class GrpcEdge {
  readonly #parts: GrpcParts;
  readonly #server: Server;
  readonly #entry: ReturnType<Server["createConnectionInjector"]>;
  /** By what the server takes for the peer's address. */
  readonly #connections = new Map<string, Connection>();
  readonly #callers = new WeakMap<Metadata, Caller>();
  #nextNumber = 1;

  constructor(parts: GrpcParts) {
    this.#parts = parts;
    this.#server = new Server({
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": maxMessageBytes,
      "grpc.max_concurrent_streams": maxStreams,
      "grpc.keepalive_time_ms": parts.limits.lifeSignMs,
      "grpc.keepalive_timeout_ms": parts.limits.lifeSignMs,
      "grpc.max_connection_idle_ms": parts.limits.idleMs,
      "grpc-node.max_session_memory": maxSessionMib,
      interceptors: [this.#interceptor()],
    });
    const who = this.#whoCalls();
    for (const one of parts.services) this.#server.addService(one.service, one.implementation(who));
    this.#entry = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  take(connection: Connection): void {
    const { socket } = connection;
    const name = `connection ${String(this.#nextNumber++)}`;
    this.#connections.set(name, connection);
    socket.once("close", () => this.#connections.delete(name));
    // All that a handler is told of its connection is this address: it tells of ours alone, and of nothing that is sent.
    Object.defineProperty(socket, "remoteAddress", { value: name });
    Object.defineProperty(socket, "remotePort", { value: undefined });
    socket.allowHalfOpen = false;
    this.#entry.injectConnection(socket);
  }

  /** Calls under way may end until `stop` is aborted. */
  async close(stop: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const force = (): void => {
        this.#server.forceShutdown();
        for (const { socket } of this.#connections.values()) socket.destroy();
        resolve();
      };
      if (stop.aborted) force();
      else stop.addEventListener("abort", force, { once: true });
      this.#server.tryShutdown(() => {
        resolve();
      });
    });
  }

  #whoCalls(): WhoCalls {
    return {
      caller: ({ metadata }) => {
        const caller = this.#callers.get(metadata);
        if (caller === undefined) throw new RuntimeError("unauthenticated", "it is not known who calls");
        return caller;
      },
      sandbox: ({ metadata }) => sandboxIdIn(metadata.get("x-sandbox-id")),
    };
  }

  #interceptor(): ServerInterceptor {
    return ({ path }, call) =>
      new ServerInterceptingCall(call, {
        start: (next) => {
          next({
            onReceiveMetadata: (metadata, admit) => {
              this.#judged(path, metadata, call).then(
                () => {
                  admit(metadata);
                },
                (thrown: unknown) => {
                  const refused = toStatus(thrown);
                  this.#parts.figures.ended("grpc", statusName(refused.code));
                  call.sendStatus(refused);
                },
              );
            },
          });
        },
        sendStatus: (sent, next) => {
          this.#parts.figures.ended("grpc", statusName(sent.code));
          next(sent);
        },
      });
  }

  async #judged(path: string, metadata: Metadata, call: ServerInterceptingCallInterface): Promise<void> {
    const connection = this.#connections.get(call.getPeer());
    if (connection === undefined) throw new RuntimeError("unauthenticated", "a call of no connection");
    this.#checkPages(metadata, call.getHost(), connection);
    if (this.#parts.anybody.has(path)) return;
    this.#callers.set(metadata, await this.#callerOf(metadata, connection));
    connection.heard();
  }

  /** No page speaks gRPC by itself; what acts for one says so. */
  #checkPages(metadata: Metadata, host: string, { open, from }: Connection): void {
    const [origin] = metadata.get("origin");
    const isPage = origin !== undefined && !this.#parts.rules.origins.includes(String(origin));
    if (!isPage && (!open || host === "" || isKnownHost(host, this.#parts.rules))) return;
    const why = isPage ? "web pages may not call" : `no caller names this port ${host.slice(0, 100)}`;
    this.#parts.tell(isPage ? "page" : "host", from, why);
    throw new RuntimeError("permissionDenied", why, { hint: "see sandboxes.hosts and sandboxes.origins" });
  }

  async #callerOf(metadata: Metadata, { known, from }: Connection): Promise<Caller> {
    const { tell, tokens } = this.#parts;
    if (known.kind === "caller") return known.caller;
    if (known.kind === "refused") {
      tell("peer", from, known.why.message);
      throw known.why;
    }
    const token = shownToken(textOf(metadata, "authorization"), textOf(metadata, "x-api-key"));
    const caller = token === undefined ? undefined : await tokens.ownerOf(token);
    if (caller !== undefined) return caller;
    const why = token === undefined ? "a token is needed" : "the token is nobody's";
    tell("token", from, why);
    throw new RuntimeError("unauthenticated", why, { hint: "authorization: Bearer TOKEN; see [sandboxes.tokens]" });
  }
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return typeof value === "string" ? value : undefined;
}
