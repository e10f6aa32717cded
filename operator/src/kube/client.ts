/** The API server over HTTP/1.1: what the operator asks of it, each with a limit that really ends it. */
import {
  Agent as PlainAgent,
  request as plainRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import { Agent, request, type RequestOptions } from "node:https";
import { KubeConfig } from "@kubernetes/client-node/dist/config.js";
import { KubeError, refusalOf } from "./error.js";
import { parseObject, textAt, type JsonObject } from "./json.js";
import { kindOf, pathOf, type Kind, type Place } from "./kinds.js";
import { withLimit } from "./limit.js";

const limitMs = 15_000;
const credentialsMs = 15_000;
/** More than the API server's own limit of an object. */
const mostBytes = 64 << 20;

export interface Asked {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: JsonObject | readonly JsonObject[];
  readonly contentType?: string;
  readonly accept?: string;
  readonly limitMs?: number;
  readonly signal?: AbortSignal;
}

export interface Applied {
  /** A subresource: "status". */
  readonly subresource?: string;
  /** Takes fields from other managers; without it a conflict is refused. */
  readonly force?: boolean;
}

export class KubeClient {
  readonly #config: KubeConfig;
  readonly #server: URL;
  readonly #manager: string;
  readonly #signal: AbortSignal;
  #agent: PlainAgent | undefined;
  #headers: { readonly values: OutgoingHttpHeaders; readonly untilMs: number } = { values: {}, untilMs: 0 };

  /** `manager`: under which name fields are written. What is under way ends with the signal. */
  constructor(config: KubeConfig, manager: string, signal: AbortSignal) {
    const server = config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error("there is no cluster in the kubeconfig: its current-context names none");
    this.#config = config;
    this.#server = new URL(server);
    this.#manager = manager;
    this.#signal = signal;
  }

  async get(kind: Kind, place: Place, asked: Asked = {}): Promise<JsonObject> {
    return await this.ask("GET", pathOf(kind, place), asked);
  }

  async create(kind: Kind, place: Place, body: JsonObject, asked: Asked = {}): Promise<JsonObject> {
    return await this.ask("POST", pathOf(kind, place), { ...asked, body, query: { fieldManager: this.#manager } });
  }

  async replace(kind: Kind, place: Place, body: JsonObject, asked: Asked = {}): Promise<JsonObject> {
    return await this.ask("PUT", pathOf(kind, place), { ...asked, body, query: { fieldManager: this.#manager } });
  }

  /** Server-side apply. */
  async apply(object: JsonObject, { subresource, force = true }: Applied = {}): Promise<JsonObject> {
    const namespace = textAt(object, "metadata", "namespace");
    const place = { name: textAt(object, "metadata", "name") ?? "", ...(namespace === undefined ? {} : { namespace }) };
    const path = `${pathOf(kindOf(object), place)}${subresource === undefined ? "" : `/${subresource}`}`;
    return await this.ask("PATCH", path, {
      body: object,
      contentType: "application/apply-patch+yaml",
      query: { fieldManager: this.#manager, force: String(force) },
    });
  }

  /** Only the object with this uid: another of its name, made meanwhile, is left alone. What is gone already is gone. */
  async remove(kind: Kind, place: Place, uid: string): Promise<void> {
    try {
      const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid }, propagationPolicy: "Background" };
      await this.ask("DELETE", pathOf(kind, place), { body });
    } catch (thrown) {
      if (!(thrown instanceof KubeError) || !["NotFound", "Conflict"].includes(thrown.reason)) throw thrown;
    }
  }

  /** Asks, and reads the answer to its end. Throws `KubeError` for what is refused. */
  async ask(method: string, path: string, asked: Asked): Promise<JsonObject> {
    const others = asked.signal === undefined ? [this.#signal] : [this.#signal, asked.signal];
    return await withLimit(asked.limitMs ?? limitMs, others, async (signal, expired) => {
      try {
        const answer = await this.open(method, path, asked, signal);
        const text = await textOf(answer);
        const status = answer.statusCode ?? 0;
        if (status === 401) this.#headers = { values: {}, untilMs: 0 };
        if (status >= 300) throw refusalOf(status, `${method} ${path}`, text);
        return parseObject(text);
      } catch (thrown) {
        if (expired()) this.dropIdle();
        if (expired()) throw new KubeError(0, "Timeout", `${method} ${path}: no answer in time`, thrown);
        throw thrown;
      }
    });
  }

  /** Answers with what has headers; its body is still to be read. */
  async open(method: string, path: string, asked: Asked, signal: AbortSignal): Promise<IncomingMessage> {
    const body = asked.body === undefined ? "" : JSON.stringify(asked.body);
    const options = await this.#options(method, path, asked, body);
    return await new Promise((resolve, reject) => {
      const all = { ...options, signal };
      const sent = this.#server.protocol === "http:" ? plainRequest(all, resolve) : request(all, resolve);
      sent.on("error", (error) => {
        reject(new KubeError(0, "Unreachable", `${method} ${path}: ${error.message}`, error));
      });
      sent.end(body);
    });
  }

  /** After a connection that nobody answered on: those that wait to be used are as old, and most likely as dead. */
  dropIdle(): void {
    for (const socket of Object.values(this.#agent?.freeSockets ?? {}).flat()) socket?.destroy();
  }

  async #options(method: string, path: string, asked: Asked, body: string): Promise<RequestOptions> {
    const headers: OutgoingHttpHeaders = {
      ...{ ...(await this.#credentials()), accept: asked.accept ?? "application/json", "user-agent": this.#manager },
      ...(asked.body === undefined ? {} : { "content-type": asked.contentType ?? "application/json" }),
      // Node says it for each method but some, of which DELETE is one.
      "content-length": Buffer.byteLength(body),
    };
    const query = new URLSearchParams(asked.query).toString();
    const base = this.#server.pathname.replace(/\/$/, "");
    return {
      ...{ method, headers, agent: this.#agent },
      hostname: this.#server.hostname.replace(/^\[|\]$/g, ""),
      port: this.#server.port,
      path: `${base}${path}${query === "" ? "" : `?${query}`}`,
    };
  }

  /** The token may be a new one each minute: the client's package reads its file again. */
  async #credentials(): Promise<OutgoingHttpHeaders> {
    if (performance.now() < this.#headers.untilMs) return this.#headers.values;
    const options: RequestOptions = { headers: {} };
    await this.#config.applyToHTTPSOptions(options);
    this.#agent ??= this.#makeAgent(options);
    const values = Object.fromEntries(Object.entries(options.headers ?? {}));
    if (typeof options.auth === "string") {
      values["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    }
    this.#headers = { values, untilMs: performance.now() + credentialsMs };
    return values;
  }

  #makeAgent({ ca, cert, key, rejectUnauthorized, servername }: RequestOptions): PlainAgent {
    const keep = { keepAlive: true, maxFreeSockets: 4, maxSockets: 64 };
    if (this.#server.protocol === "http:") return new PlainAgent(keep);
    return new Agent({ ...keep, ca, cert, key, servername, rejectUnauthorized });
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError("bytes were expected");
    bytes += chunk.length;
    if (bytes > mostBytes) throw new KubeError(0, "TooLarge", "the API server's answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** `path`: a kubeconfig; without one that of the environment, or of the pod that this runs in. */
export function loadKubeConfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (path !== undefined) config.loadFromFile(path);
  else if (process.env["KUBERNETES_SERVICE_HOST"] !== undefined) config.loadFromCluster();
  else config.loadFromDefault();
  return config;
}
