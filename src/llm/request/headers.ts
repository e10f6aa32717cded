/** Which headers of a client's go on, and what a client shows as its key. */
import type { IncomingMessage } from "node:http";

/** Of one connection, not of the request (RFC 9110, 7.6.1); the length is made anew. */
const ofConnection = [
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"],
  ...["expect", "host", "content-length", "accept-encoding"],
];
const credentials = [
  ...["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "x-auth-token"],
  ...["cookie", "cookie2", "x-goog-user-project", "x-goog-iam-authorization-token"],
  // Whose account pays is the key's to say.
  ...["openai-organization", "openai-project", "anthropic-workspace-id"],
];
/** What a proxy in front of an upstream may believe: where it came from, and what it really asks. */
const ofProxies =
  /^(?:forwarded|via|x-forwarded.*|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|cf-.*|fastly-.*|x-original-.*|x-rewrite-.*|x-http-method.*|x-method-override|x-envoy-.*|x-host)$/;

const dropped = new Set([...ofConnection, ...credentials]);

/** Name, value, name, value …, as they came and in their order. */
export function headersOnward({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  const onward: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    // Some servers take "_" for "-".
    const plain = name.toLowerCase().replaceAll("_", "-");
    if (!dropped.has(plain) && !ofProxies.test(plain) && !named.has(plain)) onward.push(name, value);
  }
  // Tokens are counted in the answer as it goes by: it is to be readable.
  onward.push("accept-encoding", "identity");
  return onward;
}

/** All that a client may show as a key, in any of the providers' ways. */
export function shownKeys({ rawHeaders, url = "" }: IncomingMessage): string[] {
  const shown: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const plain = name.toLowerCase();
    if (plain === "authorization") shown.push(value.replace(/^bearer +/i, "").trim());
    else if (["x-api-key", "api-key", "x-goog-api-key"].includes(plain)) shown.push(value.trim());
  }
  const mark = url.indexOf("?");
  const inQuery = mark < 0 ? null : new URLSearchParams(url.slice(mark + 1)).get("key");
  return inQuery === null ? shown : [...shown, inQuery];
}
