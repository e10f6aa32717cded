/** Which headers go into a sandbox: all but those of the connection, of the way there, and whatever opens doors of ours. */
import type { IncomingHttpHeaders } from "node:http";

/** RFC 9110, 7.6.1; and `Expect`, which Node has answered. */
const ofConnection = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "expect",
];
const ofTheWay = ["e2b-sandbox-id", "e2b-sandbox-port", "x-sandbox-id", "x-sandbox-port", "x-sandbox-namespace"];
const keys = ["x-api-key", "x-access-token", "e2b-traffic-access-token"];

export type ProxyHeaders = Record<string, string | readonly string[]>;

/**
 * `callersAuthorization`: `Authorization` is what the caller has shown to us, and not to a program that a model wrote: it
 * stays here. Else it is the program's.
 */
export function headersInto(headers: IncomingHttpHeaders, callersAuthorization: boolean): ProxyHeaders {
  const dropped = new Set([...ofConnection, ...ofTheWay, ...keys, ...(callersAuthorization ? ["authorization"] : [])]);
  for (const name of (headers.connection ?? "").split(",")) dropped.add(name.trim().toLowerCase());
  return kept(headers, dropped);
}

/** Out of a sandbox: those of its connection are not ours. */
export function headersOutOf(headers: IncomingHttpHeaders): ProxyHeaders {
  const dropped = new Set(ofConnection);
  for (const name of (headers.connection ?? "").split(",")) dropped.add(name.trim().toLowerCase());
  return kept(headers, dropped);
}

function kept(headers: IncomingHttpHeaders, dropped: ReadonlySet<string>): ProxyHeaders {
  const all: ProxyHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !dropped.has(name) && name !== "transfer-encoding" && name !== "upgrade")
      all[name] = value;
  }
  return all;
}
