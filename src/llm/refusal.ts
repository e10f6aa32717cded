import type { ServerResponse } from "node:http";
import type { LlmRefusal } from "../metrics/llm-figures.js";

/** The gateway's own no. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: LlmRefusal;
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  /** What the client still sends is not worth reading. */
  readonly closes: boolean;
  /** For the log alone: what a guest is not told. */
  readonly detail: string | undefined;

  constructor(
    reason: LlmRefusal,
    status: number,
    message: string,
    more: { readonly retryAfterSeconds?: number; readonly closes?: boolean; readonly detail?: string } = {},
  ) {
    super(message);
    this.reason = reason;
    this.status = status;
    this.retryAfterSeconds = more.retryAfterSeconds;
    this.closes = more.closes ?? false;
    this.detail = more.detail;
  }
}

const types: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  413: "request_too_large",
  421: "invalid_request_error",
  429: "rate_limit_error",
};

/** Members of Anthropic's, OpenAI's and Google's errors in one: the clients of all three find the message. */
export function errorText(status: number, message: string): string {
  const type = types[status] ?? "api_error";
  return `${JSON.stringify({ type: "error", error: { type, message: `a3s-box gateway: ${message}`, code: status } })}\n`;
}

export function refuse(response: ServerResponse, { closes, message, retryAfterSeconds, status }: Refusal): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const text = errorText(status, message);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
    ...(closes ? { connection: "close" } : {}),
  });
  response.end(text);
}
