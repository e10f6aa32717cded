import type { IncomingHttpHeaders } from "node:http";

/**
 * Whether a request wants its connection for another protocol that it can't do without (a WebSocket). Another HTTP and TLS on
 * the same connection are offers: curl --http2, Java's and Apache's clients make them with each request, and go on by
 * HTTP/1.1 where a server takes no notice (RFC 9110, 7.8).
 */
export function needsUpgrade({ connection, upgrade }: IncomingHttpHeaders): boolean {
  const words = (list: string | undefined): string[] =>
    (list ?? "").split(",").map((word) => word.trim().toLowerCase());
  if (upgrade === undefined || !words(connection).includes("upgrade")) return false;
  return !words(upgrade).every((protocol) => /^(?:h2c$|http\/|tls\/)/.test(protocol));
}
