/** What a request is for: a provider of its Box's, and one of the paths that are served. */
import type { IncomingMessage } from "node:http";
import type { LlmConfig } from "../../config/llm.js";
import { routes, type Route } from "./routes.js";
import { Refusal } from "../refusal.js";

export interface Target {
  readonly route: Route;
  /** For the upstream, below its own: with the query, byte for byte as it came, but for credentials. */
  readonly path: string;
  /** "": it is in the body, or nowhere. */
  readonly model: string;
}

const mostTarget = 4096;
const knownHosts = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i;
/** Of a query, whatever the case: Google's clients may have a key there. */
const credentialsInQuery = /^(?:key|api[-_]?key|access_token|oauth_token|token|\$?httpmethod)$/i;

/** One Host, and it is this one: no name leads to the gateway but those of the Box's own loopback. */
export function checkHost({ headers, rawHeaders, httpVersion }: IncomingMessage): void {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length;
  if (hosts > 1 || (hosts === 0 && httpVersion !== "1.0")) throw new Refusal("host", 400, "one Host header is wanted");
  if (hosts === 1 && !knownHosts.test(headers.host ?? "")) {
    throw new Refusal("host", 421, "this is no proxy: it is asked as 127.0.0.1 or localhost");
  }
}

/** The provider's name, and what is behind it. */
export function splitTarget(url: string): { readonly name: string; readonly rest: string } {
  if (url.length > mostTarget) throw new Refusal("path", 414, "the path is too long", { closes: true });
  if (!url.startsWith("/")) throw new Refusal("host", 421, "this is no proxy: a path is wanted, not a URL");
  const end = url.indexOf("/", 1);
  return end < 0 ? { name: "", rest: "" } : { name: url.slice(1, end), rest: url.slice(end) };
}

/** Nothing is decoded, and no dots are followed: what is not literally on the list is not there. */
export function targetOf(method: string, rest: string, { kind, name }: Pick<LlmConfig, "kind" | "name">): Target {
  const mark = rest.indexOf("?");
  const path = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? "" : queryWithout(rest.slice(mark + 1));
  const atPath = routes[kind].filter((one) => one.path.test(path));
  const [first] = atPath;
  if (first === undefined) throw new Refusal("path", 404, `${name} has no such path here`);
  const route = atPath.find((one) => one.method === method);
  if (route === undefined) throw new Refusal("path", 405, `${name} is not asked so here: ${first.method} is`);
  const below = kind === "openai" ? path.slice("/v1".length) : path;
  const model = route.path.exec(path)?.groups?.["model"] ?? "";
  return { route, path: query === "" ? below : `${below}?${query}`, model };
}

function queryWithout(query: string): string {
  return query
    .split("&")
    .filter((part) => !credentialsInQuery.test(decoded(part.split("=", 1)[0] ?? "")))
    .join("&");
}

/** As anybody may read it; what can't be read is nothing that we know. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " ")).trim();
  } catch {
    return text;
  }
}
