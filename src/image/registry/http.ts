/**
 * One HTTP request to a registry: patient with what passes (429, 5xx, broken connections), clear about what doesn't.
 * Redirects are not followed here.
 */
import type { Dispatcher } from "undici";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { connectionFailure, isPassing, type Exchange } from "./failure.js";
import { loadUndici } from "../../base/load-undici.js";
import { paced } from "./pace.js";
import { retryAfterMs } from "./retry-after.js";

/** How a URL is reached. */
export interface Route {
  readonly dispatcher: Dispatcher;
  /** "proxy.example:3128". */
  readonly proxy: string | undefined;
}

export interface HttpSettings {
  route(url: URL): Promise<Route>;
  /** No byte for so long, or too few (pace.ts): the server has stalled. */
  readonly stallMs: number;
  /** First wait before another attempt; doubled for each further one. */
  readonly retryDelayMs: number;
}

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  /** Once is enough: another host can be asked. */
  readonly once?: boolean;
}

export interface HttpAnswer {
  readonly url: URL;
  readonly status: number;
  /** A header's first value, "" when there is none. */
  header(name: string): string;
  /** To be read to its end, or dropped by `discard`. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): Promise<void>;
  /** By another origin than the host's that was asked, which had sent us there. Absent is false. */
  readonly isElsewhere?: boolean;
}

const attempts = 4;
/** A server that wants more patience than this gets none. */
const maxRetryAfterMs = 60_000;
const userAgent = "a3s-box-cri-runtime";

/** Answers of any status but those worth another attempt; after the last attempt those too. */
export async function send(settings: HttpSettings, wanted: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const last = attempt === attempts || wanted.once === true;
    const delayMs = settings.retryDelayMs * 2 ** (attempt - 1);
    const route = await settings.route(wanted.url);
    let answer: HttpAnswer;
    try {
      answer = await sendOnce(settings, route, wanted, signal);
    } catch (thrown) {
      if (last || signal.aborted || !isPassing(thrown)) {
        throw connectionFailure(thrown, exchangeOf(settings, route, wanted, signal, false));
      }
      await sleep(delayMs, signal);
      continue;
    }
    const waitMs = retryAfterMs(answer.header("retry-after")) ?? delayMs;
    if (last || !isWorthAnother(answer.status) || waitMs > maxRetryAfterMs) return answer;
    await answer.discard();
    await sleep(waitMs, signal);
  }
}

async function sendOnce(
  settings: HttpSettings,
  route: Route,
  wanted: HttpRequest,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { request } = await loadUndici();
  const answer = await request(wanted.url, {
    dispatcher: route.dispatcher,
    method: wanted.method,
    headers: { "user-agent": userAgent, ...mutable(wanted.headers) },
    body: wanted.body ?? null,
    headersTimeout: settings.stallMs,
    bodyTimeout: settings.stallMs,
    signal,
  });
  return {
    url: wanted.url,
    status: answer.statusCode,
    header: (name) => {
      const value = answer.headers[name];
      return (typeof value === "string" ? value : value?.[0]) ?? "";
    },
    body: readBody(answer.body, settings.stallMs, (thrown) =>
      connectionFailure(thrown, exchangeOf(settings, route, wanted, signal, true)),
    ),
    discard: async () => {
      await answer.body.dump({ limit: 64 * 1024 }).catch(() => undefined);
    },
  };
}

function exchangeOf(
  { stallMs }: HttpSettings,
  { proxy }: Route,
  { url }: HttpRequest,
  signal: AbortSignal,
  answered: boolean,
): Exchange {
  return { url, proxy, stallMs, signal, answered };
}

async function* readBody(
  body: AsyncIterable<unknown>,
  stallMs: number,
  failure: (thrown: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  try {
    yield* paced(chunksOf(body), stallMs);
  } catch (thrown) {
    throw failure(thrown);
  }
}

async function* chunksOf(body: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    if (chunk instanceof Uint8Array) yield chunk;
  }
}

/** The whole of a body that must be small. */
export async function readWhole(answer: HttpAnswer, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) throw new RuntimeError("internal", `${what} has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function mutable(headers: HttpRequest["headers"]): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : [...value]]),
  );
}

function isWorthAnother(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501);
}
