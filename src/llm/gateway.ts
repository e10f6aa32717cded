/**
 * The gateway to models: HTTP/1.1 on connections that are given to it, each with the Box that it comes from. It has no port:
 * nobody but a Box that was given a provider reaches it (docs/adr/0115).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { messageOf } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { monotonicMs } from "../base/clock.js";
import type { ProxySettings } from "../base/proxy.js";
import { needsUpgrade } from "../base/upgrade.js";
import type { LlmConfig } from "../config/llm.js";
import type { LlmFigures } from "../metrics/llm-figures.js";
import type { LlmBox } from "./box.js";
import { Call, type CallParts } from "./call.js";
import { Crowd, type CrowdLimits } from "./crowd.js";
import { Bucket } from "./limits/bucket.js";
import { ByteBudget } from "./limits/byte-budget.js";
import { Provider } from "./provider.js";
import { endLater, endWith } from "./end-connection.js";
import { refuse, Refusal } from "./refusal.js";
import { ClientGone, type BodyLimits } from "./request/body.js";
import { shownKeys } from "./request/headers.js";
import { checkHost, splitTarget, targetOf } from "./request/target.js";
import type { BoxTokens } from "./tokens.js";
import type { UpstreamTimes } from "./upstream/upstream.js";

export interface GatewayLimits extends CrowdLimits, UpstreamTimes {
  readonly headersMs: number;
  readonly body: Omit<BodyLimits, "maxBytes">;
  /** A client that does not take its answer. */
  readonly stallMs: number;
  readonly callMs: number;
  readonly heldBytesOfBox: number;
  readonly heldBytes: number;
}

export interface GatewayParts {
  readonly providers: readonly LlmConfig[];
  readonly tokens: BoxTokens;
  readonly figures: LlmFigures;
  readonly log: Logger;
  readonly proxies: ProxySettings;
  readonly limits?: Partial<GatewayLimits>;
}

const minuteMs = 60_000;
const mib = 1024 * 1024;
const usualLimits: GatewayLimits = {
  ...{ connections: 4096, connectionsOfBox: 256, idleMs: minuteMs, headersMs: 20_000 },
  ...{ connectMs: 15_000, headMs: 10 * minuteMs, pieceMs: 5 * minuteMs, stallMs: 2 * minuteMs, callMs: 60 * minuteMs },
  body: { idleMs: 30_000, totalMs: 5 * minuteMs },
  ...{ heldBytesOfBox: 96 * mib, heldBytes: 384 * mib },
};
/** Anthropic's and OpenAI's clients have a dozen headers each. */
const mostHeaders = 100;
const mostHeaderBytes = 32 * 1024;
const plainOnly = "only plain requests are answered here";
/** Lines about refusals, of all Boxes together: what a guest does as often as it likes does not fill a log. */
const refusalLinesAMinute = 60;

export class LlmGateway {
  readonly #parts: GatewayParts;
  readonly #limits: GatewayLimits;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #call: CallParts;
  readonly #crowd: Crowd;
  readonly #server: Server;
  readonly #running = new Set<AbortController>();
  readonly #refusalLines = new Bucket(refusalLinesAMinute, monotonicMs());
  #isClosing = false;
  #whenIdle: (() => void) | undefined;

  constructor(parts: GatewayParts) {
    const limits = { ...usualLimits, ...parts.limits };
    this.#parts = parts;
    this.#limits = limits;
    const made = parts.providers.map((config) => new Provider(config, parts.proxies, limits, parts.log));
    this.#providers = new Map(made.map((provider) => [provider.config.name, provider]));
    const budget = new ByteBudget(limits.heldBytesOfBox, limits.heldBytes);
    this.#call = { figures: parts.figures, budget, body: limits.body, stallMs: limits.stallMs };
    this.#crowd = new Crowd(limits);
    this.#server = this.#openServer(limits);
  }

  get configs(): readonly LlmConfig[] {
    return this.#parts.providers;
  }

  /** From now on the connection is the gateway's. */
  take(connection: Duplex, box: LlmBox): void {
    if (this.#isClosing || !this.#crowd.enter(connection, box)) {
      connection.destroy();
      this.#parts.figures.refused("none", this.#isClosing ? "closing" : "connections");
      return;
    }
    this.#server.emit("connection", connection);
  }

  /** Calls under way may end until `stop` is aborted. */
  async close(stop: AbortSignal): Promise<void> {
    this.#isClosing = true;
    if (this.#running.size > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
      const end = (): void => {
        for (const one of this.#running) one.abort();
      };
      if (stop.aborted) end();
      else stop.addEventListener("abort", end);
      await idle;
    }
    this.#crowd.close();
    this.#server.close();
    await Promise.all([...this.#providers.values()].map(({ upstream }) => upstream.close()));
  }

  #openServer({ headersMs, body }: GatewayLimits): Server {
    const every = Math.min(1000, Math.ceil(headersMs / 2));
    const server = createServer({ maxHeaderSize: mostHeaderBytes, connectionsCheckingInterval: every });
    // Idle connections are the crowd's to end, and bodies have limits of their own: not all connections are sockets.
    Object.assign(server, { headersTimeout: headersMs, requestTimeout: body.totalMs + headersMs, keepAliveTimeout: 0 });
    server.maxHeadersCount = mostHeaders;
    server.on("request", (message, response) => {
      void this.#request(message, response);
    });
    // Without a listener for "upgrade" Node takes no notice of such an offer: the request is one like any other.
    server.on("connect", (_message, socket: Duplex) => {
      this.#parts.figures.refused("none", "http");
      endWith(socket, 405, plainOnly);
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      this.#broken(error, socket);
    });
    server.emit("listening"); // it does not listen itself, and looks at its limits only then
    return server;
  }

  async #request(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#crowd.of(message.socket);
    if (connection === undefined) {
      response.destroy();
      return;
    }
    connection.running += 1;
    const gone = new AbortController();
    this.#running.add(gone);
    const late = setTimeout(() => {
      gone.abort();
    }, this.#limits.callMs);
    response.once("close", () => {
      gone.abort();
    });
    message.on("error", () => undefined); // "close" follows
    try {
      await this.#answer(message, response, connection.box, gone.signal);
    } finally {
      clearTimeout(late);
      this.#running.delete(gone);
      connection.running -= 1;
      connection.idleSinceMs = monotonicMs();
      if (this.#running.size === 0) this.#whenIdle?.();
    }
  }

  async #answer(message: IncomingMessage, response: ServerResponse, box: LlmBox, signal: AbortSignal): Promise<void> {
    const { figures } = this.#parts;
    let provider: Provider | undefined;
    let ended: ((code: string) => void) | undefined;
    let code = "aborted";
    try {
      const { name, rest } = this.#judged(message, box);
      provider = this.#providerOf(name, box);
      ended = figures.began(name);
      const target = targetOf(message.method ?? "", rest, provider.config);
      if (this.#isClosing) throw new Refusal("closing", 503, "the gateway is shutting down", { retryAfterSeconds: 5 });
      code = await this.#called(new Call(provider, target, this.#call), provider, { message, response, box, signal });
    } catch (thrown) {
      ended ??= figures.began("none");
      code = this.#failed(thrown, message, response, box, provider?.config.name ?? "none");
    } finally {
      ended?.(code);
    }
  }

  /** Who asks, and for what; the path's first part is the provider's name. */
  #judged(message: IncomingMessage, { id }: LlmBox): { readonly name: string; readonly rest: string } {
    if (needsUpgrade(message.headers)) throw new Refusal("http", 405, plainOnly, { closes: true });
    checkHost(message);
    const target = splitTarget(message.url ?? "");
    if (!shownKeys(message).some((shown) => this.#parts.tokens.isOf(id, shown))) {
      throw new Refusal(
        "token",
        401,
        "the key is not this Box's: it is in its environment, as ANTHROPIC_API_KEY and others",
      );
    }
    return target;
  }

  /** One that the Box was not given is as one that is not there. */
  #providerOf(name: string, { providers }: LlmBox): Provider {
    const provider = providers.includes(name) ? this.#providers.get(name) : undefined;
    if (provider !== undefined) return provider;
    throw new Refusal("provider", 404, `this Box was given: ${providers.map((one) => `/${one}/`).join(", ")}`);
  }

  async #called(call: Call, provider: Provider, exchange: Exchange): Promise<string> {
    const { box, message, response, signal } = exchange;
    const admitted = provider.quota.admit(box);
    let error: string | undefined;
    try {
      await call.run(message, response, box, signal);
      if (call.facts.status >= 400) error = String(call.facts.status);
      return String(response.statusCode);
    } catch (thrown) {
      error = thrown instanceof Refusal ? String(thrown.status) : "_OTHER";
      throw thrown;
    } finally {
      admitted.end(call.tokens);
      this.#told(call, provider, exchange, error);
    }
  }

  #told(call: Call, { config }: Provider, { box, message, response }: Exchange, error: string | undefined): void {
    const { figures, log } = this.#parts;
    const { facts } = call;
    if (facts.operation !== "") figures.ended({ ...call.labels, seconds: call.ms / 1000, error, usage: facts.usage });
    if (facts.status === 0) return; // refused, which is told elsewhere
    const { input, output } = facts.usage ?? {};
    log.info(
      {
        ...{ sandboxId: box.id, tenant: box.tenant, llm: config.name, path: message.url?.split("?")[0] },
        ...{ model: facts.model, status: response.statusCode, ms: Math.round(call.ms) },
        ...{ firstMs: facts.firstMs === undefined ? undefined : Math.round(facts.firstMs), input, output },
        ...{ requestBytes: facts.requestBytes, answerBytes: facts.answerBytes, whole: facts.isWhole },
      },
      "model call",
    );
  }

  /** What it ended as. */
  #failed(
    thrown: unknown,
    message: IncomingMessage,
    response: ServerResponse,
    { id, tenant }: LlmBox,
    name: string,
  ): string {
    const { figures, log } = this.#parts;
    if (thrown instanceof Refusal) {
      figures.refused(name, thrown.reason);
      refuse(response, thrown);
      if (thrown.closes) endLater(message, response);
      this.#line(() => {
        const { detail, message: why, reason, status } = thrown;
        log.info({ sandboxId: id, tenant, llm: name, status, reason, err: why, detail }, "model call refused");
      });
      return String(thrown.status);
    }
    const isGone = thrown instanceof ClientGone || message.socket.destroyed || response.destroyed;
    this.#line(() => {
      log.info(
        { sandboxId: id, tenant, llm: name, err: messageOf(thrown) },
        isGone ? "client gone" : "model call broken",
      );
    });
    response.destroy();
    return isGone ? "aborted" : "broken";
  }

  #line(write: () => void): void {
    const nowMs = monotonicMs();
    if (this.#refusalLines.waitMs(nowMs) > 0) return;
    this.#refusalLines.take(1, nowMs);
    write();
  }

  /** What is no HTTP, or too much of it, or comes too slowly. */
  #broken(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const statuses: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
    const status = statuses[error.code ?? ""] ?? 400;
    this.#parts.figures.refused("none", status === 408 ? "slow" : "http");
    // Where an answer may be half written already, a second one would be taken for its end.
    if ((this.#crowd.of(socket)?.running ?? 0) > 0) socket.destroy();
    else endWith(socket, status, status === 408 ? "the request does not come" : "that is no HTTP that is taken here");
  }
}

interface Exchange {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  readonly box: LlmBox;
  readonly signal: AbortSignal;
}
