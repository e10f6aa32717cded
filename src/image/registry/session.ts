/**
 * Talks to one repository at one host with one caller's credentials: the authorization found for the first request
 * serves all others, and is renewed when the host no longer takes it.
 */
import { RuntimeError } from "../../base/errors.js";
import { SharedWork } from "../../base/shared-work.js";
import { parseChallenges } from "./challenge.js";
import { basicHeader, type Credentials } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { isWithoutTls } from "./failure.js";
import { send, type HttpAnswer, type HttpRequest, type HttpSettings } from "./http.js";
import { fetchToken } from "./token.js";

const maxRedirects = 5;

export interface SessionOptions {
  readonly http: HttpSettings;
  readonly endpoint: Endpoint;
  /** The reference's host: what a mirror is asked for. */
  readonly registry: string;
  readonly repository: string;
  /** Asked when the host first wants some. */
  readonly credentials: (signal: AbortSignal) => Promise<Credentials>;
}

export interface Question {
  readonly method?: "GET" | "HEAD";
  /** Below the repository: "manifests/latest". */
  readonly path: string;
  readonly accept: readonly string[];
  /** First byte that is wanted. */
  readonly from?: number;
  /** Once is enough: another host can be asked. */
  readonly once: boolean;
}

export class RegistrySession {
  readonly #options: SessionOptions;
  readonly #scope: string;
  readonly #root = new SharedWork<"root", URL>({ results: new Map() });
  #authorization: string | undefined;
  #credentials: Credentials | undefined;
  /** The way to a new authorization that several requests wait for. */
  readonly #authorizing = new SharedWork<"authorization", string>();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#scope = `repository:${options.repository}:pull`;
  }

  get endpoint(): Endpoint {
    return this.#options.endpoint;
  }

  /** "registry.example:5000". */
  get host(): string {
    return this.endpoint.root.host;
  }

  /** 401 is answered once, redirects are followed. Any other status comes back. */
  async ask(question: Question, signal: AbortSignal): Promise<HttpAnswer> {
    const root = await this.#root.run("root", signal, (given) => this.#findRoot(given));
    const used = this.#authorization;
    const first = await this.#follow(root, question, used, signal);
    if (first.status !== 401 || first.url.origin !== root.origin) return first;
    await first.discard();
    // Another request may have got a new one while this was under way.
    const fresh = this.#authorization === used ? undefined : this.#authorization;
    const authorization =
      fresh ?? (await this.#authorize(root, first.header("www-authenticate"), question.once, signal));
    return await this.#follow(root, question, authorization, signal);
  }

  /** Where plain HTTP will do, TLS is tried first all the same (containerd's docker.NewHTTPFallback). */
  async #findRoot(signal: AbortSignal): Promise<URL> {
    const { root, tryTlsFirst } = this.endpoint;
    if (!tryTlsFirst) return root;
    const [secure, plain] = [new URL(root), new URL(root)];
    [secure.protocol, plain.protocol] = ["https:", "http:"];
    try {
      const answer = await send(this.#options.http, { method: "GET", url: secure, headers: {}, once: true }, signal);
      await answer.discard();
    } catch (thrown) {
      if (isWithoutTls(thrown)) return plain;
      if (signal.aborted) throw thrown;
    }
    return secure; // whatever else is wrong, the question itself meets it
  }

  /** By hand: credentials go to the host's own origin and nowhere else, and never from TLS to plain HTTP. */
  async #follow(
    root: URL,
    question: Question,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    let url = this.#urlOf(root, question.path);
    for (let hops = 0; hops <= maxRedirects; hops += 1) {
      const request = this.#request(url, url.origin === root.origin, question, authorization);
      const answer = await send(this.#options.http, request, signal);
      if (![301, 302, 303, 307, 308].includes(answer.status)) {
        return url.origin === root.origin ? answer : { ...answer, isElsewhere: true };
      }
      await answer.discard();
      url = this.#target(url, answer.header("location"));
    }
    throw new RuntimeError("unavailable", `${this.host} redirects more than ${maxRedirects} times`, {
      hint: "its address or that of its blob store is wrong in its configuration",
    });
  }

  #request(url: URL, own: boolean, question: Question, authorization: string | undefined): HttpRequest {
    const headers = {
      accept: question.accept.join(", "),
      // What comes is stored and hashed as it is.
      "accept-encoding": "identity",
      ...(question.from === undefined ? {} : { range: `bytes=${question.from}-` }),
      ...(own ? this.endpoint.settings.headers : {}),
      ...(own && authorization !== undefined ? { authorization } : {}),
    };
    return { method: question.method ?? "GET", url, headers, once: question.once };
  }

  #urlOf(root: URL, path: string): URL {
    const { registry, repository } = this.#options;
    const url = new URL(`${root.href.replace(/\/$/, "")}/${repository}/${path}`);
    if (this.endpoint.mirror) url.searchParams.set("ns", registry);
    return url;
  }

  #target(from: URL, location: string): URL {
    const hint = "its address or that of its blob store is wrong in its configuration";
    let url: URL;
    try {
      if (location === "") throw new Error("no Location");
      url = new URL(location, from);
    } catch (cause) {
      throw new RuntimeError("unavailable", `${from.host} redirects to "${location.slice(0, 200)}"`, { hint, cause });
    }
    if (url.protocol === "https:" || (url.protocol === "http:" && from.protocol === "http:")) return url;
    throw new RuntimeError("unavailable", `${from.host} redirects to ${url.protocol}//${url.host}, which has no TLS`, {
      hint,
    });
  }

  async #authorize(root: URL, header: string, once: boolean, signal: AbortSignal): Promise<string> {
    return await this.#authorizing.run("authorization", signal, (given) =>
      this.#newAuthorization(root, header, once, given),
    );
  }

  async #newAuthorization(root: URL, header: string, once: boolean, signal: AbortSignal): Promise<string> {
    this.#credentials ??= await this.#options.credentials(signal);
    const credentials = this.#credentials;
    const registryToken = credentials.kind === "bearer" ? `Bearer ${credentials.token}` : undefined;
    if (registryToken !== undefined && registryToken !== this.#authorization) return this.#keep(registryToken);
    const challenges = parseChallenges(header);
    const challenge = challenges.find(({ scheme }) => scheme === "bearer");
    if (challenge !== undefined && credentials.kind !== "bearer") {
      const scope = challenge.parameters.get("scope") ?? this.#scope;
      const wanted = { challenge, scope, credentials, registry: root, once };
      return this.#keep(`Bearer ${await fetchToken(this.#options.http, wanted, signal)}`);
    }
    if (credentials.kind === "password" && challenges.some(({ scheme }) => scheme === "basic")) {
      return this.#keep(basicHeader(credentials.username, credentials.password));
    }
    throw new RuntimeError(
      "failedPrecondition",
      `${this.host} ${credentials.kind === "anonymous" ? "wants credentials" : "refuses the credentials"} (401)`,
      { hint: "give credentials of this registry with the pull (imagePullSecrets), or in image.auth of the config" },
    );
  }

  #keep(authorization: string): string {
    this.#authorization = authorization;
    return authorization;
  }
}
