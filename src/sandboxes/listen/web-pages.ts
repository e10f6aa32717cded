/**
 * Web pages in a browser of this machine must not get to a port that takes whoever comes by the loopback: neither by a name
 * that leads to 127.0.0.1 (DNS rebinding), nor straight.
 */
import type { IncomingHttpHeaders } from "node:http";
import { isIP, isIPv6 } from "node:net";

export interface PageRules {
  /** "box.example.org", "*.box.example.org". */
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
}

/** A host header in its parts; undefined: it is none. Lower case; an address without its brackets. */
export function hostIn(header: string): { readonly name: string; readonly port: string } | undefined {
  const [, bracketed, plain, port = ""] =
    /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_.-]{1,253}))(?::(\d{1,5}))?$/i.exec(header) ?? [];
  const name = (bracketed ?? plain)?.toLowerCase();
  const isOne = bracketed === undefined || isIPv6(bracketed);
  return name === undefined || !isOne || Number(port) > 65_535 ? undefined : { name, port };
}

/** localhost and what is below it lead nowhere else (RFC 6761, 6.3), and an address needs no resolver. */
export function isKnownHost(header: string, { hosts }: PageRules): boolean {
  const host = hostIn(header);
  if (host === undefined) return false;
  const name = host.name.replace(/\.$/, "");
  if (isIP(name) !== 0 || name === "localhost" || name.endsWith(".localhost")) return true;
  return hosts.some((known) => (known.startsWith("*.") ? name.endsWith(known.slice(1)) : name === known));
}

/** Why a page's request is refused; undefined: it comes from none, from one that may, or from where it goes to. */
export function pageRefused(headers: IncomingHttpHeaders, host: string, { origins }: PageRules): string | undefined {
  const { origin } = headers;
  if (origin !== undefined) {
    if (origins.includes(origin)) return undefined;
    const isOwn = /^https?:\/\/(.*)$/.exec(origin)?.[1]?.toLowerCase() === host.toLowerCase();
    return isOwn ? undefined : `web pages of ${origin.slice(0, 100)} may not call`;
  }
  // What a browser sends without an origin (an image, a form's GET): it says what it is by these.
  const site = headers["sec-fetch-site"];
  const isForeign = site === "cross-site" || site === "same-site";
  if (!isForeign || headers["sec-fetch-mode"] === "navigate") return undefined;
  return "other web pages may not call";
}
