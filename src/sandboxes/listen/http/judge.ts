/** Who asks, and about what: all that is decided of a request before a protocol sees it. */
import type { IncomingMessage } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import type { Refusal } from "../../../metrics/port-figures.js";
import type { Caller } from "../../core/caller.js";
import type { Connection } from "../connection.js";
import type { HttpRequest } from "../protocol.js";
import { sandboxAddress } from "../sandbox-address.js";
import { hostIn, isKnownHost, pageRefused, type PageRules } from "../web-pages.js";
import { shownToken, type Tokens } from "../who/tokens.js";

export interface JudgeParts {
  readonly rules: PageRules;
  readonly tokens: Tokens;
  readonly tell: (reason: Refusal, from: string, why: string) => void;
}

/** Throws why it is refused, as the port's own error. */
export async function judged(
  message: IncomingMessage,
  connection: Connection,
  signal: AbortSignal,
  parts: JudgeParts,
): Promise<HttpRequest> {
  const host = hostOf(message);
  const url = urlOf(message, host);
  checkPages(message, host, connection, parts);
  const address = sandboxAddress(message.headers, host);
  const caller = await callerOf(message, connection, address !== undefined, parts);
  return { caller, message, method: message.method ?? "GET", url, address, signal };
}

/** HTTP/1.1 has one, HTTP/1.0 may have none. */
function hostOf({ headers, rawHeaders }: IncomingMessage): string {
  const all = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host");
  const host = headers.host ?? "localhost";
  if (all.length > 1 || hostIn(host) === undefined)
    throw new RuntimeError("invalidArgument", "the Host header is none");
  return host;
}

function urlOf({ url: target = "" }: IncomingMessage, host: string): URL {
  const text = `http://${host}${target}`;
  if (target.startsWith("/") && URL.canParse(text)) return new URL(text);
  throw new RuntimeError("invalidArgument", "the request's target is no path");
}

function checkPages({ headers }: IncomingMessage, host: string, connection: Connection, parts: JudgeParts): void {
  if (connection.open && !isKnownHost(host, parts.rules)) {
    const why = `no caller names this port ${host.slice(0, 100)}`;
    parts.tell("host", connection.from, why);
    throw new RuntimeError("permissionDenied", why, { hint: "use localhost or an address, or set sandboxes.hosts" });
  }
  const why = pageRefused(headers, host, parts.rules);
  if (why === undefined) return;
  parts.tell("page", connection.from, why);
  throw new RuntimeError("permissionDenied", why, { hint: "set sandboxes.origins for those that may" });
}

/**
 * A token that is nobody's is refused, unless the request is for a sandbox: there it may be one of the sandbox's own, or of a
 * program in it.
 */
async function callerOf(
  { headers }: IncomingMessage,
  { known, from }: Connection,
  isForSandbox: boolean,
  { tokens, tell }: JudgeParts,
): Promise<Caller | undefined> {
  if (known.kind === "caller") return known.caller;
  if (known.kind === "refused") {
    tell("peer", from, known.why.message);
    throw known.why;
  }
  const apiKey = headers["x-api-key"];
  const token = shownToken(headers.authorization, typeof apiKey === "string" ? apiKey : undefined);
  const caller = token === undefined ? undefined : await (known.owners ?? tokens).ownerOf(token);
  if (caller !== undefined || token === undefined || isForSandbox) return caller;
  tell("token", from, "the token is nobody's");
  const hint = known.owners === undefined ? { hint: "see [sandboxes.tokens] of the daemon" } : {};
  throw new RuntimeError("unauthenticated", "the token is nobody's", hint);
}
