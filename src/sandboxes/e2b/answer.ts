import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { anyOf } from "../../base/signals.js";
import type { RestError } from "./errors.js";

/** A body that nobody wants is read past for so long, so that the client comes to read why. */
const mostUnreadMs = 2000;
const retryAfterSeconds = "1";

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length, ...headers });
  response.end(bytes);
}

export function sendNothing(response: ServerResponse): void {
  response.writeHead(204);
  response.end();
}

/** `{code, message}`: the SDKs read the code in the body. Where the answer has begun it is cut off: the client sees that. */
export function sendRestError(message: IncomingMessage, response: ServerResponse, error: RestError): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const again = error.code === 429 || error.code === 503 ? { "retry-after": retryAfterSeconds } : {};
  sendRefusal(message, response, error.code, error, again);
}

/** An answer before the end of what the client sends; the connection ends where the rest of that takes too long. */
export function sendRefusal(
  message: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJson(response, status, body, headers);
  if (message.complete) return;
  const timer = setTimeout(() => {
    message.destroy();
  }, mostUnreadMs);
  message.on("error", () => undefined);
  message.once("close", () => {
    clearTimeout(timer);
  });
  message.resume();
}

/** Resolves when there is room for more: a client that does not read holds what it asked for until the port gives it up, and no memory. */
export async function writeTo(response: ServerResponse, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (response.write(bytes)) return;
  const gone = new AbortController();
  const close = (): void => {
    gone.abort();
  };
  response.once("close", close);
  try {
    if (!response.closed && response.writableNeedDrain) {
      await once(response, "drain", { signal: anyOf(signal, gone.signal) });
    }
  } finally {
    response.removeListener("close", close);
  }
}
