import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import type { Granted } from "../access.js";
import type { HttpRequest } from "../../listen/protocol.js";
import type { E2bOptions } from "../options.js";
import { sendRefusal } from "../answer.js";
import type { Call, Method } from "./method.js";
import { userOf } from "./user.js";

const usualKeepaliveMs = 90_000;
const leastKeepaliveMs = 1000;
const mostKeepaliveMs = 3_600_000;
/** Of the protocol: ten digits. */
const mostDigits = 10;
/** What a timer of Node's can wait. */
const mostLimitMs = 2 ** 31 - 1;

/** `/process.Process/Start` and its like; throws what has no answer of the method's own. */
export async function serveCall(
  { sandboxes, log }: E2bOptions,
  name: string,
  method: Method,
  granted: Granted,
  request: HttpRequest,
  response: ServerResponse,
): Promise<void> {
  const { headers } = request.message;
  if (request.method !== "POST") throw new RuntimeError("invalidArgument", "calls are POSTs");
  const type = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (type !== method.contentType) {
    const message = `${name} takes ${method.contentType}: JSON alone is spoken`;
    sendRefusal(request.message, response, 415, { code: "unknown", message }, { "accept-post": method.contentType });
    return;
  }
  const encoding = headers["content-encoding"] ?? headers["connect-content-encoding"] ?? "identity";
  if (encoding !== "identity") throw new RuntimeError("unimplemented", "compressed messages are not taken");
  const { caller, view } = granted;
  const call: Call = {
    request,
    response,
    name,
    view,
    processes: sandboxes.processes(caller, view.id),
    files: sandboxes.files(caller, view.id),
    user: userOf(headers.authorization),
    limitMs: limitOf(headers["connect-timeout-ms"]),
    keepaliveMs: keepaliveOf(headers["keepalive-ping-interval"]),
    signal: request.signal,
    log: log.child({ sandbox: view.id }),
  };
  await method.serve(call);
}

/** Nothing, or 0: all the time. */
function limitOf(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (typeof header !== "string" || !/^\d+$/.test(header) || header.length > mostDigits) {
    throw new RuntimeError("invalidArgument", "Connect-Timeout-Ms is no number of at most ten digits");
  }
  const ms = Number(header);
  return ms === 0 ? undefined : Math.min(ms, mostLimitMs);
}

/** In seconds; what is no number is as if nothing were said. */
function keepaliveOf(header: string | readonly string[] | undefined): number {
  const ms = typeof header === "string" && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : usualKeepaliveMs;
  return Math.min(Math.max(ms, leastKeepaliveMs), mostKeepaliveMs);
}
