/** What went wrong between us and a server, in words that say what to do. */
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { TooSlow, tooSlowCode } from "./pace.js";

export interface Exchange {
  readonly url: URL;
  /** "proxy.example:3128". */
  readonly proxy: string | undefined;
  readonly stallMs: number;
  readonly signal: AbortSignal;
  /** The answer's head had come. */
  readonly answered: boolean;
}

/** Words for what undici, Node's sockets or OpenSSL have thrown. */
export function connectionFailure(thrown: unknown, exchange: Exchange): unknown {
  if (thrown instanceof RuntimeError) return thrown;
  if (exchange.signal.aborted) return new RuntimeError("canceled", "the pull was given up", { cause: thrown });
  const { url, proxy, stallMs } = exchange;
  const silent = url.protocol === "https:" && !exchange.answered && codeOfCause(thrown) === "UND_ERR_SOCKET";
  const { what, hint } = silent ? closedSilently : wordsFor(thrown, stallMs);
  const through = proxy === undefined ? "" : ` through the proxy ${proxy}`;
  return new RuntimeError("unavailable", `${url.host}${through} ${what}`, { hint, cause: thrown });
}

interface Words {
  /** Goes on after the host's name. */
  readonly what: string;
  readonly hint: string;
}

function wordsFor(thrown: unknown, stallMs: number): Words {
  const code = codeOfCause(thrown);
  if (thrown instanceof TooSlow) {
    return { what: `sent only ${thrown.bytes} bytes in ${stallMs} ms`, hint: "it has stalled; pull again later" };
  }
  if (isTimeout(code)) return { what: `sent nothing for ${stallMs} ms`, hint: "it has stalled; pull again later" };
  const known = byCode.find(([pattern]) => pattern.test(code))?.[1];
  if (known !== undefined) return known;
  if (/^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_)/.test(code)) {
    return { what: `fails the TLS handshake: ${reason(thrown)}`, hint: "check its certificate and TLS versions" };
  }
  if (/Proxy (?:response|Authentication)/.test(messageOf(thrown))) {
    return { what: `can't be reached: ${reason(thrown)}`, hint: "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY" };
  }
  return { what: `broke the connection: ${reason(thrown)}`, hint: "pull again; check the network and the registry" };
}

const unknownAuthority: Words = {
  what: "shows a certificate of an authority that this machine doesn't know",
  hint: "name its file as `ca` in the registry's hosts.toml, or add it to the system's authorities",
};
/** With TLS 1.3 a server refuses a client's certificate, or the lack of one, after the handshake: by closing. */
const closedSilently: Words = {
  what: "closed the connection without an answer",
  hint: "it may want a client certificate: `client` in its hosts.toml; if not, pull again",
};
const noTls: Words = {
  what: "doesn't speak TLS",
  hint: "if it is meant to be plain HTTP, name it in image.plain_http, or with http:// in its hosts.toml",
};

const byCode: readonly (readonly [RegExp, Words])[] = [
  [/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/, unknownAuthority],
  [/^CERT_HAS_EXPIRED$/, { what: "shows an expired certificate", hint: "renew it, or check this machine's clock" }],
  [/^CERT_NOT_YET_VALID$/, { what: "shows a certificate of the future", hint: "check this machine's clock" }],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    { what: "shows a certificate for other names", hint: "use a name that is in it, or have it renewed" },
  ],
  [/^(?:ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|ERR_SSL_HTTP_REQUEST)$/, noTls],
  [
    /^ERR_SSL_.*(?:CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA)$/,
    { what: "refuses this client's TLS", hint: "it may want a client certificate: `client` in its hosts.toml" },
  ],
  [/^ENOTFOUND$/, { what: "is a name that nobody knows", hint: "check the reference's host, and DNS" }],
  [/^EAI_AGAIN$/, { what: "can't be looked up: no name server answers", hint: "check this machine's DNS" }],
  [/^ECONNREFUSED$/, { what: "refuses the connection", hint: "check that the registry runs, and on this port" }],
  [/^(?:EHOSTUNREACH|ENETUNREACH)$/, { what: "can't be reached: no way to it", hint: "check the network" }],
  [
    /^(?:ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/,
    { what: "doesn't answer the connection", hint: "check the network, firewalls and proxies" },
  ],
];

/** True for the error of a server that sent nothing, or too little, for too long. */
export function isStall(thrown: unknown): boolean {
  return thrown instanceof RuntimeError && isTimeout(codeOfCause(thrown.cause));
}

/** True when no connection came about: other requests to this host would end the same way. */
export function isUnreachable(thrown: unknown): boolean {
  const cause = thrown instanceof RuntimeError ? thrown.cause : thrown;
  const errno = errnoOf(cause);
  const unreachable = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"];
  return (
    (errno !== undefined && unreachable.includes(errno)) ||
    isTls(cause) ||
    codeOfCause(cause) === "UND_ERR_CONNECT_TIMEOUT"
  );
}

/** True for the error of a TLS client that met a server without TLS. */
export function isWithoutTls(thrown: unknown): boolean {
  const cause = thrown instanceof RuntimeError ? thrown.cause : thrown;
  return wordsFor(cause, 0) === noTls || messageOf(cause).includes("before secure TLS connection was established");
}

/** True when another attempt may do better. */
export function isPassing(thrown: unknown): boolean {
  if (thrown instanceof RuntimeError) return false;
  const code = codeOfCause(thrown);
  return !isTls(thrown) && code !== "ENOTFOUND" && !isTimeout(code);
}

function isTls(thrown: unknown): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(codeOfCause(thrown));
}

function isTimeout(code: string): boolean {
  return ["UND_ERR_BODY_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", tooSlowCode].includes(code);
}

/** Failures of several addresses come as one error: the first stands for them. */
function codeOfCause(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return "";
  return String(thrown.code);
}

function reason(thrown: unknown): string {
  if (thrown instanceof AggregateError) return thrown.errors.map(messageOf).join("; ");
  const text = messageOf(thrown);
  return text === "" ? codeOfCause(thrown) : text;
}
