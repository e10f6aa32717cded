import type { ServerResponse } from "node:http";
import { codeOf, type ErrorCode, messageOf, RuntimeError } from "../../../base/errors.js";

interface RestError {
  readonly status: number;
  /** KEP-539.2 names the first six; the others are of the same kind. */
  readonly code: string;
}

const rest = {
  permissionDenied: { status: 403, code: "PERMISSION_DENIED" },
  notFound: { status: 404, code: "NOT_FOUND" },
  invalidArgument: { status: 400, code: "INVALID_ARGUMENT" },
  alreadyExists: { status: 409, code: "CONFLICT" },
  failedPrecondition: { status: 409, code: "CONFLICT" },
  unavailable: { status: 503, code: "UNAVAILABLE" },
  internal: { status: 500, code: "INTERNAL" },
  // Clients of /v1/files repeat 500, 502, 503 and 504: a full disk is none of them.
  resourceExhausted: { status: 507, code: "RESOURCE_EXHAUSTED" },
  unauthenticated: { status: 401, code: "UNAUTHENTICATED" },
  unimplemented: { status: 501, code: "UNIMPLEMENTED" },
  deadlineExceeded: { status: 504, code: "DEADLINE_EXCEEDED" },
  canceled: { status: 499, code: "CANCELED" },
  brokenContract: { status: 500, code: "INTERNAL" },
  unknown: { status: 500, code: "INTERNAL" },
} satisfies Record<ErrorCode, RestError>;

/** The one place where what was thrown becomes an answer of REST. What nobody foresaw keeps its words to itself. */
export function restError(thrown: unknown): RestError & { readonly message: string } {
  const foreseen = thrown instanceof RuntimeError;
  return { ...rest[codeOf(thrown)], message: foreseen ? messageOf(thrown) : "the daemon has failed; its log says why" };
}

/** Quotas are no disks: whoever has used up one may try again later. */
export function quotaError(thrown: unknown): ReturnType<typeof restError> {
  const error = restError(thrown);
  return error.status === 507 ? { ...error, status: 429 } : error;
}

/**
 * `{"code","message"}`. An answer that is out already is broken off: its client sees that it is not whole. What has not been
 * read of the request goes with its connection.
 */
export function sendError(response: ServerResponse, error: ReturnType<typeof restError>): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, code, message } = error;
  if (!response.req.complete) response.setHeader("connection", "close");
  sendJson(response, status, { code, message });
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": body.length,
    "cache-control": "no-store",
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

export function sendNothing(response: ServerResponse): void {
  response.writeHead(204).end();
}
