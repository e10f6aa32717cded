/** HTTP/1.1 on the one port: each request is judged, and given to the first protocol that takes it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf, RuntimeError } from "../../../base/errors.js";
import { needsUpgrade } from "../../../base/upgrade.js";
import type { Logger } from "../../../base/log.js";
import type { PortFigures } from "../../../metrics/port-figures.js";
import { refuse } from "../../../streaming/refuse.js";
import type { Connection } from "../connection.js";
import type { HttpLimits } from "../options.js";
import type { HttpProtocol, HttpRequest } from "../protocol.js";
import { answerError, answerHealth, errorBody, httpStatusOf, whatIsSpoken } from "./answers.js";
import { judged, type JudgeParts } from "./judge.js";
import { headWithoutOffer } from "./offer.js";

const maxHeaderBytes = 16 * 1024;
const maxHeaders = 100;

export interface HttpParts extends JudgeParts {
  readonly protocols: readonly HttpProtocol[];
  readonly health: () => string | undefined;
  readonly figures: PortFigures;
  readonly limits: HttpLimits;
  readonly log: Logger;
}

export class HttpEdge {
  readonly #parts: HttpParts;
  readonly #server: Server;
  readonly #connections = new WeakMap<Duplex, Connection>();
  /** The last that each connection has been asked for. */
  readonly #answers = new WeakMap<Duplex, ServerResponse>();
  readonly #running = new Set<AbortController>();
  #isClosing = false;
  #whenIdle: (() => void) | undefined;

  constructor(parts: HttpParts) {
    this.#parts = parts;
    const { headersMs, keepAliveMs } = parts.limits;
    const every = Math.min(1000, Math.ceil(headersMs / 2));
    this.#server = createServer({ maxHeaderSize: maxHeaderBytes, connectionsCheckingInterval: every });
    Object.assign(this.#server, { headersTimeout: headersMs, requestTimeout: 0, keepAliveTimeout: keepAliveMs });
    this.#server.maxHeadersCount = maxHeaders;
    this.#server.on("request", (message, response) => {
      void this.#request(message, response);
    });
    this.#server.on("upgrade", (message, socket, head) => {
      if (needsUpgrade(message.headers)) void this.#upgrade(message, socket, head);
      else this.#takeAgain(message, socket, head);
    });
    this.#server.on("connect", (_message, socket) => {
      refuse(socket, 405, whatIsSpoken);
    });
    this.#server.on("clientError", (error, socket) => {
      this.#broken(error, socket);
    });
    this.#server.emit("listening"); // it does not listen itself, and looks at its limits only then
  }

  take(connection: Connection): void {
    this.#connections.set(connection.socket, connection);
    this.#server.emit("connection", connection.socket);
    connection.socket.resume();
  }

  /** Requests under way may end until `stop` is aborted; their signals are aborted then. */
  async close(stop: AbortSignal): Promise<void> {
    this.#isClosing = true;
    this.#server.close(() => undefined); // those without a request
    if (this.#running.size === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    stop.addEventListener("abort", () => {
      for (const one of this.#running) one.abort(new RuntimeError("unavailable", "the daemon is shutting down"));
    });
    await idle;
  }

  async #request(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { figures, limits, log } = this.#parts;
    const gone = this.#begin();
    this.#answers.set(message.socket, response);
    let protocol = "none";
    this.#boundClient(message, response, gone);
    if (this.#isClosing || message.httpVersion === "1.0") response.shouldKeepAlive = false;
    response.once("close", () => {
      const isWhole = response.writableFinished && !gone.signal.aborted;
      if (!isWhole) gone.abort(new RuntimeError("canceled", "the client has gone"));
      figures.ended(protocol, isWhole ? `${String(Math.floor(response.statusCode / 100))}xx` : "aborted");
      this.#end(gone);
      if (isWhole && !message.complete) setTimeout(() => message.destroy(), limits.lingerMs).unref();
    });
    try {
      await this.#answer(message, response, gone.signal, (name) => {
        protocol = name;
      });
    } catch (thrown) {
      if (!(thrown instanceof RuntimeError) || protocol !== "none") {
        if (!gone.signal.aborted) log.error({ protocol, err: messageOf(thrown) }, "a request failed");
        answerError(response, 500, "internal error");
        if (!response.writableEnded) response.destroy();
        return;
      }
      answerError(response, httpStatusOf(thrown.code), thrown.message);
    }
  }

  /** `took` is told the name of who answers, before. */
  async #answer(
    message: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    took: (name: string) => void,
  ): Promise<void> {
    const { health, protocols } = this.#parts;
    const path = message.url?.split("?")[0];
    const connection = this.#connectionOf(message);
    const answersHealth = (): void => {
      took("health");
      answerHealth(response, health());
    };
    if (path === "/healthz") {
      answersHealth();
      return;
    }
    const request = await judged(message, connection, signal, this.#parts);
    if (request.caller !== undefined) connection.heard();
    const protocol = protocols.find((one) => one.takes(request));
    if (protocol !== undefined) {
      took(protocol.name);
      await protocol.handle(request, response);
    } else if (path === "/health" && request.address === undefined) answersHealth();
    else answerError(response, 404, `nothing is at ${request.url.pathname.slice(0, 200)}; ${whatIsSpoken}`);
  }

  /** Node has left the connection to whoever upgrades it: it begins anew, with the request as if it offered nothing. */
  #takeAgain(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    const again = (): void => {
      if (socket.destroyed) return;
      socket.removeAllListeners("timeout"); // Node's own, which come again
      socket.unshift(Buffer.concat([headWithoutOffer(message), head]));
      this.#server.emit("connection", socket);
      socket.resume();
    };
    const before = this.#answers.get(socket);
    if (before === undefined || before.closed) again();
    else before.once("close", again); // a client that does not wait for its answers gets them in order
  }

  async #upgrade(message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { figures, log, protocols } = this.#parts;
    socket.on("error", () => undefined); // "close" follows
    const gone = this.#begin();
    socket.once("close", () => {
      gone.abort(new RuntimeError("canceled", "the client has gone"));
      this.#end(gone);
    });
    let name = "none";
    try {
      const connection = this.#connectionOf(message);
      const request: HttpRequest = await judged(message, connection, gone.signal, this.#parts);
      if (request.caller !== undefined) connection.heard();
      const protocol = protocols.find((one) => one.takes(request));
      name = protocol?.name ?? "none";
      if (protocol?.upgrade === undefined) {
        const wanted = String(message.headers.upgrade).slice(0, 100);
        refuse(socket, protocol === undefined ? 404 : 426, `no upgrade to ${wanted} here; ${whatIsSpoken}`);
        figures.ended(name, "4xx");
        return;
      }
      await protocol.upgrade(request, socket, head);
      figures.ended(name, "1xx");
    } catch (thrown) {
      const isRefusal = thrown instanceof RuntimeError && name === "none";
      figures.ended(name, isRefusal ? "4xx" : "5xx");
      if (isRefusal) refuse(socket, httpStatusOf(thrown.code), thrown.message);
      else {
        if (!gone.signal.aborted) log.error({ protocol: name, err: messageOf(thrown) }, "an upgraded request failed");
        socket.destroy();
      }
    }
  }

  #begin(): AbortController {
    const gone = new AbortController();
    this.#running.add(gone);
    return gone;
  }

  #end(one: AbortController): void {
    this.#running.delete(one);
    if (this.#running.size === 0) this.#whenIdle?.();
  }

  #connectionOf({ socket }: IncomingMessage): Connection {
    const connection = this.#connections.get(socket);
    if (connection === undefined) throw new RuntimeError("internal", "a request of no connection");
    return connection;
  }

  /**
   * A body that stands still ends its connection, and so does an answer that nobody reads: what it is made of is held for it.
   * A handler that waits for something else may take its time.
   */
  #boundClient(message: IncomingMessage, response: ServerResponse, gone: AbortController): void {
    const { bodyIdleMs, readerIdleMs } = this.#parts.limits;
    const { headers, socket } = message;
    let sends = headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
    socket.setTimeout(sends ? bodyIdleMs : readerIdleMs);
    message.once("close", () => {
      if (sends && !response.writableFinished) socket.setTimeout(readerIdleMs);
      sends = false;
    });
    response.on("timeout", () => {
      if (!sends && response.writableLength === 0) return;
      gone.abort(new RuntimeError("canceled", sends ? "the client sends nothing" : "the client reads nothing"));
      socket.destroy();
    });
  }

  /** What is no HTTP, or too much of it. */
  #broken(error: NodeJS.ErrnoException, socket: Duplex): void {
    const from = this.#connections.get(socket)?.from ?? "";
    const statuses: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
    const status = statuses[error.code ?? ""] ?? 400;
    if (error.code === "ECONNRESET" || !socket.writable || (socket instanceof Socket && socket.bytesWritten > 0)) {
      socket.destroy();
      return;
    }
    this.#parts.tell(status === 408 ? "silent" : "bytes", from, messageOf(error));
    refuse(socket, status, errorBody(status, `${messageOf(error)}; ${whatIsSpoken}`).trimEnd());
  }
}
