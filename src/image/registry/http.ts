/**
 * One HTTP request to a registry: patient with what passes (429, 5xx, broken connections), clear about what doesn't.
 * Redirects are not followed here.
 */
import type { Dispatcher } from "undici";
import { request } from "undici";
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";

export interface HttpSettings {
  readonly dispatcher: Dispatcher;
  /** No byte for so long: the server has stalled. */
  readonly stallMs: number;
  /** First wait before another attempt; doubled for each further one. */
  readonly retryDelayMs: number;
}

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly url: URL;
  readonly status: number;
  /** A header's first value, "" when there is none. */
  header(name: string): string;
  /** To be read to its end, or dropped by `discard`. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): Promise<void>;
}

const attempts = 3;
const maxRetryAfterMs = 60_000;
const userAgent = "a3s-box-cri-runtime";

/** Answers of any status but those worth another attempt; after the last attempt those too. */
export async function send(settings: HttpSettings, wanted: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const last = attempt === attempts;
    const delayMs = settings.retryDelayMs * 2 ** (attempt - 1);
    let answer: HttpAnswer;
    try {
      answer = await sendOnce(settings, wanted, signal);
    } catch (thrown) {
      if (last || signal.aborted || !isPassing(thrown)) throw describe(thrown, wanted.url, signal);
      await sleep(delayMs, signal);
      continue;
    }
    if (last || !isWorthAnother(answer.status)) return answer;
    await answer.discard();
    await sleep(retryAfterMs(answer.header("retry-after")) ?? delayMs, signal);
  }
}

async function sendOnce(settings: HttpSettings, wanted: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  const answer = await request(wanted.url, {
    dispatcher: settings.dispatcher,
    method: wanted.method,
    headers: { "user-agent": userAgent, ...wanted.headers },
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
    body: readBody(answer.body, wanted.url, signal),
    discard: async () => {
      await answer.body.dump({ limit: 64 * 1024 }).catch(() => undefined);
    },
  };
}

async function* readBody(body: AsyncIterable<unknown>, url: URL, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      if (chunk instanceof Uint8Array) yield chunk;
    }
  } catch (thrown) {
    throw describe(thrown, url, signal);
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

/**
 * What undici throws, in our words. kubelet shows a message that begins with "RegistryUnavailable" as the reason of the
 * pull's failure, and only under the code UNKNOWN (kubelet pkg/kubelet/images/image_manager.go, evalCRIPullErr).
 */
function describe(thrown: unknown, url: URL, signal: AbortSignal): unknown {
  if (thrown instanceof RuntimeError) return thrown;
  if (signal.aborted) return new RuntimeError("canceled", "the pull was given up", { cause: thrown });
  if (isTimeout(codeText(thrown))) {
    return new RuntimeError("unavailable", `${url.host} sent nothing for too long`, {
      hint: "the registry has stalled; pull again",
      cause: thrown,
    });
  }
  if (isConnectFailure(thrown)) {
    return new RuntimeError("unknown", `RegistryUnavailable: ${url.host} can't be reached: ${reason(thrown)}`, {
      hint: "check the name, the network and the registry",
      cause: thrown,
    });
  }
  return new RuntimeError("unavailable", `the connection to ${url.host} broke: ${reason(thrown)}`, { cause: thrown });
}

/** True for the error of a server that sent nothing for `stallMs`. */
export function isStall(thrown: unknown): boolean {
  return thrown instanceof RuntimeError && isTimeout(codeText(thrown.cause));
}

function isTimeout(code: string): boolean {
  return code === "UND_ERR_BODY_TIMEOUT" || code === "UND_ERR_HEADERS_TIMEOUT";
}

const connectErrnos = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"];

/** Before a byte was exchanged; TLS failures are of this kind, for another attempt gives the same. */
function isConnectFailure(thrown: unknown): boolean {
  const errno = errnoOf(thrown);
  const code = codeText(thrown);
  return (errno !== undefined && connectErrnos.includes(errno)) || code === "UND_ERR_CONNECT_TIMEOUT" || isTls(code);
}

function isTls(code: string): boolean {
  return /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|EPROTO$)/.test(code);
}

function isPassing(thrown: unknown): boolean {
  if (thrown instanceof RuntimeError) return false;
  const code = codeText(thrown);
  return !isTls(code) && code !== "ENOTFOUND" && code !== "UND_ERR_HEADERS_TIMEOUT";
}

function isWorthAnother(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501);
}

/** RFC 9110, 10.2.3: seconds, or a date. */
export function retryAfterMs(header: string): number | undefined {
  if (header === "") return undefined;
  const waitMs = /^[0-9]+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxRetryAfterMs);
}

function codeText(thrown: unknown): string {
  return typeof thrown === "object" && thrown !== null && "code" in thrown ? String(thrown.code) : "";
}

/** Failures of several addresses come as one error without a message. */
function reason(thrown: unknown): string {
  if (thrown instanceof AggregateError) return thrown.errors.map(messageOf).join("; ");
  const text = messageOf(thrown);
  return text === "" ? codeText(thrown) : text;
}
