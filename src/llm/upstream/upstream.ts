/** The way to one provider: where the configuration says, by the environment's proxies, and nowhere else. */
import { createSecureContext } from "node:tls";
import type { Dispatcher } from "undici";
import { systemAuthorities } from "../../base/authorities.js";
import { errnoOf, messageOf } from "../../base/errors.js";
import { loadUndici } from "../../base/load-undici.js";
import type { Logger } from "../../base/log.js";
import { proxyFor, type ProxySettings } from "../../base/proxy.js";
import type { KeyHeader, LlmConfig } from "../../config/llm.js";
import { WatchedFile } from "./watched-file.js";

export interface UpstreamTimes {
  /** To be connected, TLS and all. */
  readonly connectMs: number;
  /** From the request to the head of the answer: a model may think for long. */
  readonly headMs: number;
  /** From one piece of an answer to the next. */
  readonly pieceMs: number;
}

export interface UpstreamRequest {
  readonly method: "GET" | "POST";
  /** Below the upstream's own. */
  readonly path: string;
  /** Name, value, name, value …, without credentials. */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
  readonly key: string | undefined;
}

export interface UpstreamAnswer {
  readonly status: number;
  /** Name, value, name, value …, as they came. */
  readonly headers: readonly string[];
  readonly body: AsyncIterable<unknown>;
  /** What is left of it is not wanted: its connection goes. */
  drop(): void;
}

/** Connections without a request are closed after that, unless the upstream says less. */
const keepAliveMs = 30_000;
/** Above the largest head of an answer that there is any use for. */
const mostHeaderBytes = 65_536;

export class Upstream {
  readonly server: string;
  readonly #base: URL;
  readonly #header: KeyHeader;
  readonly #caFile: WatchedFile | undefined;
  readonly #proxy: URL | undefined;
  readonly #times: UpstreamTimes;
  #pool: { readonly ca: string | undefined; readonly dispatcher: Dispatcher } | undefined;
  #opening: Promise<Dispatcher> | undefined;

  constructor(config: LlmConfig, proxies: ProxySettings, times: UpstreamTimes, log: Logger) {
    this.#base = new URL(config.upstream);
    this.server = this.#base.hostname;
    this.#header = config.keyHeader;
    this.#caFile = config.caFile === undefined ? undefined : new WatchedFile(config.caFile, log);
    this.#proxy = proxyFor(proxies, this.#base);
    this.#times = times;
  }

  /** Throws what undici, the sockets or OpenSSL throw. */
  async send({ body, headers, key, method, path }: UpstreamRequest, signal: AbortSignal): Promise<UpstreamAnswer> {
    const dispatcher = await this.#dispatcher();
    const answer = await dispatcher.request({
      origin: this.#base.origin,
      path: `${this.#base.pathname.replace(/\/+$/, "")}${path}`,
      method,
      headers: key === undefined ? [...headers] : [...headers, ...this.#credentials(key)],
      body: body ?? null,
      headersTimeout: this.#times.headMs,
      bodyTimeout: this.#times.pieceMs,
      responseHeaders: "raw",
      signal,
    });
    const raw: unknown = answer.headers;
    return {
      status: answer.statusCode,
      headers: Array.isArray(raw) ? raw.map(String) : [],
      body: answer.body,
      drop: () => {
        answer.body.on("error", () => undefined).destroy();
      },
    };
  }

  async close(): Promise<void> {
    await this.#pool?.dispatcher.destroy();
  }

  #credentials(key: string): string[] {
    return [this.#header, this.#header === "authorization" ? `Bearer ${key}` : key];
  }

  /** Another one when the file of authorities has changed; what runs on the old one ends there. */
  async #dispatcher(): Promise<Dispatcher> {
    const ca = await this.#caFile?.text();
    if (this.#pool !== undefined && this.#pool.ca === ca) return this.#pool.dispatcher;
    this.#opening ??= this.#open(ca).finally(() => {
      this.#opening = undefined;
    });
    return await this.#opening;
  }

  async #open(ca: string | undefined): Promise<Dispatcher> {
    const { Agent, ProxyAgent } = await loadUndici();
    const authorities = [...(await systemAuthorities()), ...(ca === undefined ? [] : [ca])];
    const connect = {
      timeout: this.#times.connectMs,
      secureContext: createSecureContext({ ca: authorities }),
    };
    const options = { keepAliveTimeout: keepAliveMs, maxHeaderSize: mostHeaderBytes, pipelining: 1 };
    const old = this.#pool?.dispatcher;
    const proxy = this.#proxy;
    const dispatcher =
      proxy === undefined
        ? new Agent({ ...options, connect })
        : new ProxyAgent({
            ...options,
            uri: proxy.href,
            proxyTunnel: this.#base.protocol === "https:",
            requestTls: connect,
            proxyTls: connect,
            ...loginOf(proxy),
          });
    this.#pool = { ca, dispatcher };
    void old?.close();
    return dispatcher;
  }
}

function loginOf({ username, password }: URL): { readonly token?: string } {
  if (username === "") return {};
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { token: `Basic ${Buffer.from(login).toString("base64")}` };
}

/** What a guest is told of a failure: no address, no name of the host's network. */
export interface Failure {
  readonly status: 502 | 504;
  readonly words: string;
  /** For the log. */
  readonly detail: string;
}

export function failureOf(thrown: unknown): Failure {
  const code = codeOf(thrown);
  const detail = [code, messageOf(thrown)].filter((text) => text !== "").join(": ");
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
    return { status: 504, words: "has sent nothing for too long", detail };
  }
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") {
    return { status: 504, words: "does not answer the connection", detail };
  }
  if (/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_|ERR_SSL_)/.test(code)) {
    return { status: 502, words: "shows a certificate that is not trusted, or fails at TLS", detail };
  }
  if (["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"].includes(code)) {
    return { status: 502, words: "can't be reached", detail };
  }
  return { status: 502, words: "has broken the connection", detail };
}

/** Failures of several addresses come as one error: the first stands for them. */
function codeOf(thrown: unknown): string {
  const errno = errnoOf(thrown);
  if (errno !== undefined) return errno;
  if (thrown instanceof AggregateError) return codeOf(thrown.errors[0]);
  return typeof thrown === "object" && thrown !== null && "code" in thrown ? String(thrown.code) : "";
}
