/**
 * The streaming server: kubelet (or a client next to it) comes with a URL that an Exec, Attach or PortForward RPC gave
 * out, upgrades the connection, and is joined with what the request stands for (k8s.io/kubelet pkg/cri/streaming/server.go).
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isIPv6, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { monotonicMs } from "../base/clock.js";
import { messageOf, RuntimeError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import type { StreamingConfig } from "../config/config.js";
import { refuse } from "./refuse.js";
import type { StreamRequest } from "./requests.js";
import { Tokens } from "./tokens.js";
import { upgrade } from "./upgrade.js";
import { Waiting } from "./waiting.js";

const keepAliveProbeMs = 60_000;
/** For request line and headers. */
const headersMs = 10_000;
/** Sessions say good-bye; one whose client doesn't read is cut off. */
const closeMs = 2_000;
/** For the commands of the sessions to be ended. */
const endMs = 5_000;

export interface StreamingServer {
  /** The URL at which one client can have the request, once, within a minute. `resourceExhausted` when too many wait. */
  offer(request: StreamRequest): string;
  /** Ends every session, and with them the commands they run. */
  close(): Promise<void>;
}

export async function serveStreaming(config: StreamingConfig, log: Logger): Promise<StreamingServer> {
  const server = await makeServer(config);
  const listening = new ListeningServer(server, config, log);
  await listening.listen();
  return listening;
}

async function makeServer({ tls }: StreamingConfig): Promise<Server> {
  if (tls === undefined) return createServer();
  try {
    const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
    return createTlsServer({ cert, key });
  } catch (cause) {
    throw new RuntimeError("invalidArgument", messageOf(cause), {
      stage: "streaming TLS",
      hint: "check streaming.tls_cert_file and streaming.tls_key_file",
      cause,
    });
  }
}

class ListeningServer implements StreamingServer {
  readonly #server: Server;
  readonly #config: StreamingConfig;
  readonly #log: Logger;
  readonly #tokens = new Tokens(monotonicMs);
  readonly #connections = new Set<Duplex>();
  readonly #waiting = new Waiting();
  readonly #sessions = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(server: Server, config: StreamingConfig, log: Logger) {
    this.#server = server;
    this.#config = config;
    this.#log = log;
    server.headersTimeout = headersMs;
    server.on("connection", (socket) => {
      this.#connections.add(socket);
      this.#waiting.add(socket);
      socket.once("close", () => this.#connections.delete(socket));
    });
    // What is no upgrade, or no request at all.
    server.on("request", (request, response) => {
      const code = this.#take(request) === undefined ? 404 : 400;
      response
        .writeHead(code, { connection: "close" })
        .end(code === 404 ? "unknown or used token\n" : "upgrade needed\n");
    });
    server.on("upgrade", (request, socket, head) => {
      this.#upgrade(request, socket, head);
    });
  }

  async listen(): Promise<void> {
    const { address, port } = this.#config;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => {
        reject(
          new RuntimeError("unavailable", cause.message, {
            stage: "serve streaming",
            hint: "set streaming.address and streaming.port",
            cause,
          }),
        );
      });
      this.#server.listen({ host: address, port }, resolve);
    });
    this.#server.on("error", (error) => {
      this.#log.warn({ err: error.message }, "streaming server");
    });
    this.#log.info({ url: this.#base() }, "streaming");
  }

  offer(request: StreamRequest): string {
    return `${this.#base()}/${request.kind}/${this.#tokens.issue(request)}`;
  }

  async close(): Promise<void> {
    this.#stopping.abort(new RuntimeError("unavailable", "the daemon is shutting down"));
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, closeMs);
    await closed;
    clearTimeout(timer);
    await Promise.race([Promise.all(this.#sessions), delay(endMs, undefined, { ref: false })]);
  }

  #base(): string {
    const bound = this.#server.address();
    if (typeof bound !== "object" || bound === null) throw new RuntimeError("unavailable", "streaming is not served");
    const { address, port } = bound;
    const everywhere = { "0.0.0.0": "127.0.0.1", "::": "::1" };
    const host = address === "0.0.0.0" || address === "::" ? everywhere[address] : address;
    const scheme = this.#config.tls === undefined ? "http" : "https";
    return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${String(port)}`;
  }

  #take(request: IncomingMessage): StreamRequest | undefined {
    const parts = /^\/(exec|attach|portforward)\/([\w-]+)(?:\?|$)/.exec(request.url ?? "");
    return parts === null ? undefined : this.#tokens.redeem(parts[1] ?? "", parts[2] ?? "");
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => undefined); // "close" follows
    const wanted = this.#take(request);
    if (wanted === undefined) {
      refuse(socket, 404, "unknown or used token");
      return;
    }
    this.#waiting.remove(request.socket.remoteAddress, request.socket.remotePort);
    if (socket instanceof Socket) {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, keepAliveProbeMs);
      socket.setTimeout(this.#config.idleTimeoutMs, () => {
        socket.destroy();
      });
    }
    const log = this.#log.child({ kind: wanted.kind });
    const startedMs = monotonicMs();
    const session = upgrade({ request, socket, head }, wanted, this.#stopping.signal).then(
      () => {
        log.debug({ ms: Math.round(monotonicMs() - startedMs) }, "stream ended");
      },
      (thrown: unknown) => {
        log.warn({ err: messageOf(thrown) }, "stream failed");
        socket.destroy();
      },
    );
    this.#sessions.add(session);
    void session.then(() => this.#sessions.delete(session));
  }
}
