/**
 * Talks to one repository of one registry with one caller's credentials: the authorization found for the first request
 * serves all others.
 */
import { RuntimeError } from "../../base/errors.js";
import { parseChallenges, type Challenge } from "./challenge.js";
import { basicHeader, type Credentials } from "./credentials.js";
import { send, type HttpAnswer, type HttpSettings } from "./http.js";
import { fetchToken } from "./token.js";

const maxRedirects = 5;

export class RegistrySession {
  readonly #settings: HttpSettings;
  readonly #endpoint: URL;
  readonly #scope: string;
  readonly #credentials: Credentials;
  #authorization: string | undefined;
  /** The way to a new authorization that several requests wait for. */
  #authorizing: Promise<string> | undefined;

  constructor(settings: HttpSettings, endpoint: string, repository: string, credentials: Credentials) {
    this.#settings = settings;
    this.#endpoint = new URL(endpoint);
    this.#scope = `repository:${repository}:pull`;
    this.#credentials = credentials;
    this.#authorization = credentials.kind === "bearer" ? `Bearer ${credentials.token}` : undefined;
  }

  /** "registry.example:5000". */
  get host(): string {
    return this.#endpoint.host;
  }

  /** GET of a path of the API; 401 is answered once, redirects are followed. Any other status comes back. */
  async get(path: string, accept: readonly string[], signal: AbortSignal): Promise<HttpAnswer> {
    const url = new URL(path, this.#endpoint);
    const used = this.#authorization;
    const first = await this.#follow(url, accept, used, signal);
    if (first.status !== 401 || first.url.origin !== this.#endpoint.origin) return first;
    await first.discard();
    // Another request may have got a new one while this was under way.
    const fresh = this.#authorization !== used ? this.#authorization : undefined;
    const authorization = fresh ?? (await this.#authorize(first.header("www-authenticate"), signal));
    return await this.#follow(url, accept, authorization, signal);
  }

  /** By hand: credentials go to the registry's own origin and nowhere else, and never from TLS to plain HTTP. */
  async #follow(
    start: URL,
    accept: readonly string[],
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    let url = start;
    for (let hops = 0; hops <= maxRedirects; hops += 1) {
      const own = url.origin === this.#endpoint.origin;
      const headers = {
        accept: accept.join(", "),
        ...(own && authorization !== undefined ? { authorization } : {}),
      };
      const answer = await send(this.#settings, { method: "GET", url, headers }, signal);
      if (![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      await answer.discard();
      url = this.#target(url, answer.header("location"));
    }
    throw new RuntimeError("unavailable", `${this.host} redirects more than ${maxRedirects} times`);
  }

  #target(from: URL, location: string): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch (cause) {
      throw new RuntimeError("unavailable", `${from.host} redirects to "${location.slice(0, 200)}"`, { cause });
    }
    if (url.protocol === "https:" || (url.protocol === "http:" && from.protocol === "http:")) return url;
    throw new RuntimeError("unavailable", `${from.host} redirects to ${url.protocol}//${url.host}, which has no TLS`);
  }

  async #authorize(header: string, signal: AbortSignal): Promise<string> {
    this.#authorizing ??= this.#newAuthorization(header, signal).finally(() => {
      this.#authorizing = undefined;
    });
    return await this.#authorizing;
  }

  async #newAuthorization(header: string, signal: AbortSignal): Promise<string> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
    const basic = challenges.find((challenge) => challenge.scheme === "basic");
    if (bearer !== undefined) this.#authorization = await this.#bearer(bearer, signal);
    else if (basic !== undefined && this.#credentials.kind === "password") {
      this.#authorization = basicHeader(this.#credentials.username, this.#credentials.password);
    } else
      throw this.#refused(this.#credentials.kind === "anonymous" ? "wants credentials" : "refuses the credentials");
    return this.#authorization;
  }

  async #bearer(challenge: Challenge, signal: AbortSignal): Promise<string> {
    if (this.#credentials.kind === "bearer") throw this.#refused("refuses the registry token");
    const scope = challenge.parameters.get("scope") ?? this.#scope;
    const token = await fetchToken(this.#settings, challenge, scope, this.#credentials, this.#endpoint, signal);
    return `Bearer ${token}`;
  }

  #refused(how: string): RuntimeError {
    return new RuntimeError("failedPrecondition", `${this.host} ${how}`, {
      hint: "give credentials of this registry in the pull's auth (imagePullSecrets)",
    });
  }
}
