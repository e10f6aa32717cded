/** One request of HTTP/1.1 and its answer; what goes wrong in gRPC's words. */
import { Agent as PlainAgent, request as plainRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { status } from "@grpc/grpc-js";
import { reasonOf } from "../../deadline.js";
import type { Endpoint } from "../../endpoint.js";
import type { TlsFiles } from "../tls-files.js";
import { WireError } from "../wire.js";

const codes: Readonly<Record<string, status>> = {
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  NOT_FOUND: status.NOT_FOUND,
  CONFLICT: status.FAILED_PRECONDITION,
  RESOURCE_EXHAUSTED: status.RESOURCE_EXHAUSTED,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  UNIMPLEMENTED: status.UNIMPLEMENTED,
  UNAVAILABLE: status.UNAVAILABLE,
  DEADLINE_EXCEEDED: status.DEADLINE_EXCEEDED,
};
/** Of answers that whoever is on the way, or the port itself, gives without a code. */
const byHttp: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  413: status.RESOURCE_EXHAUSTED,
  429: status.RESOURCE_EXHAUSTED,
  501: status.UNIMPLEMENTED,
  502: status.UNAVAILABLE,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};
const neverSentCodes = ["ECONNREFUSED", "ENOENT", "EACCES"];
const mostBytes = 64 * 1024 * 1024;

export interface HttpCall {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly sandboxId?: string;
  readonly range?: string;
  readonly json?: unknown;
  readonly body?: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

export class HttpClient {
  readonly #target: RequestOptions;
  readonly #request: typeof plainRequest;
  readonly #agent: PlainAgent;
  readonly #token: () => Promise<string | undefined>;

  constructor(endpoint: Exclude<Endpoint, { kind: "vsock" }>, tls: TlsFiles, token: () => Promise<string | undefined>) {
    const isTls = endpoint.kind === "tls";
    this.#token = token;
    this.#request = isTls ? tlsRequest : plainRequest;
    const files = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
    this.#agent = isTls ? new TlsAgent({ keepAlive: true, ...files }) : new PlainAgent({ keepAlive: true });
    this.#target =
      endpoint.kind === "unix" ? { socketPath: endpoint.path } : { host: endpoint.host, port: endpoint.port };
  }

  /** The answer's body, where it is a success. */
  async send(call: HttpCall): Promise<IncomingMessage> {
    const { signal, json } = call;
    const token = await this.#token();
    signal.throwIfAborted();
    const text = json === undefined ? undefined : JSON.stringify(json);
    const headers = {
      ...(this.#target.socketPath === undefined ? {} : { host: "localhost" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(call.sandboxId === undefined ? {} : { "x-sandbox-id": call.sandboxId }),
      ...(call.range === undefined ? {} : { range: call.range }),
      ...(text === undefined ? {} : { "content-type": "application/json" }),
    };
    const { method, path } = call;
    const body = call.body === undefined ? undefined : new Source(call.body);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = this.#request({ ...this.#target, method, path, headers, agent: this.#agent, signal }, resolve);
      request.once("error", (error) => {
        reject(signal.aborted ? reasonOf(signal) : (body?.failure ?? dropped(error)));
      });
      if (body === undefined) request.end(text);
      // An answer that comes before all is sent ends the sending; the request's own error says the rest.
      else pipeline(Readable.from(body.pieces(), { objectMode: false }), request).catch(() => undefined);
    });
    if ((answer.statusCode ?? 0) < 300) return answer;
    throw refusal(answer.statusCode ?? 0, (await bytesOf(answer, signal)).toString());
  }

  async json(call: HttpCall): Promise<unknown> {
    const text = (await bytesOf(await this.send(call), call.signal)).toString();
    return text === "" ? undefined : JSON.parse(text);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What is sent, and why it has ended early where that is its own doing. */
class Source {
  readonly #body: AsyncIterable<Uint8Array>;
  failure: Error | undefined;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body;
  }

  async *pieces(): AsyncGenerator<Uint8Array, void> {
    try {
      yield* this.#body;
    } catch (thrown) {
      this.failure = thrown instanceof Error ? thrown : new Error(String(thrown));
      throw thrown;
    }
  }
}

async function bytesOf(answer: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of chunksOf(answer, signal)) {
    bytes += part.length;
    if (bytes > mostBytes) throw new WireError(status.RESOURCE_EXHAUSTED, "the answer is too long", false);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** A body that is cut off is an error, and not its end. */
export async function* chunksOf(answer: IncomingMessage, signal: AbortSignal): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) yield chunk;
  } catch (thrown) {
    throw signal.aborted ? reasonOf(signal) : dropped(thrown);
  }
  if (!answer.complete) throw dropped(new Error("the answer was cut off"));
}

function dropped(thrown: unknown): WireError {
  const words = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return new WireError(status.UNAVAILABLE, words, neverSentCodes.includes(code), thrown);
}

function refusal(httpStatus: number, text: string): WireError {
  const said = /"code"\s*:\s*"([A-Z_]+)"/.exec(text)?.[1] ?? "";
  const words = messageIn(text) ?? `HTTP ${httpStatus}: ${text.slice(0, 200)}`;
  return new WireError(codes[said] ?? byHttp[httpStatus] ?? status.INTERNAL, words, false);
}

function messageIn(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const message = typeof value === "object" && value !== null && "message" in value ? value.message : undefined;
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
