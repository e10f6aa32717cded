import type { ServerResponse } from "node:http";
import type { ErrorCode } from "../../../base/errors.js";

/** What the port says by itself when something else is wanted of it. */
export const whatIsSpoken =
  "this port speaks HTTP/1.1, and gRPC by HTTP/2 with prior knowledge; grpcurl -plaintext ADDRESS list shows its services";

/** Of what the port itself refuses; protocols have forms of their own. */
export function httpStatusOf(code: ErrorCode): number {
  const statuses: Partial<Record<ErrorCode, number>> = {
    invalidArgument: 400,
    unauthenticated: 401,
    permissionDenied: 403,
    notFound: 404,
    resourceExhausted: 429,
    unavailable: 503,
  };
  return statuses[code] ?? 500;
}

export function errorBody(status: number, message: string): string {
  return `${JSON.stringify({ code: status, message })}\n`;
}

/** Nothing where the head of an answer is out already. */
export function answerError(
  response: ServerResponse,
  status: number,
  message: string,
  more: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent) return;
  const body = errorBody(status, message);
  const login = status === 401 ? { "www-authenticate": "Bearer" } : {};
  response
    .writeHead(status, {
      ...{ "content-type": "application/json", "content-length": Buffer.byteLength(body), "cache-control": "no-store" },
      ...login,
      ...more,
    })
    .end(response.req.method === "HEAD" ? undefined : body);
}

/** "ok", or what is wrong, to whoever restarts the daemon; only to be read. */
export function answerHealth(response: ServerResponse, trouble: string | undefined): void {
  const { method } = response.req;
  if (method !== "GET" && method !== "HEAD") {
    answerError(response, 405, "only GET and HEAD", { allow: "GET, HEAD" });
    return;
  }
  const body = `${trouble ?? "ok"}\n`;
  response
    .writeHead(trouble === undefined ? 200 : 503, {
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
    })
    .end(method === "HEAD" ? undefined : body);
}
