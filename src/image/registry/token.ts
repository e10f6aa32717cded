/** Bearer tokens. Source: distribution spec, "Token Authentication Specification" and "OAuth2 Token Authentication". */
import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import type { Challenge } from "./challenge.js";
import { basicHeader, type Credentials } from "./credentials.js";
import { readWhole, send, type HttpAnswer, type HttpRequest, type HttpSettings } from "./http.js";

const maxTokenBytes = 1024 * 1024;
const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export interface TokenRequest {
  readonly challenge: Challenge;
  readonly scope: string;
  readonly credentials: Credentials;
  /** The API root that sent the challenge. */
  readonly registry: URL;
  readonly once: boolean;
}

/** Asks the challenge's token server. */
export async function fetchToken(settings: HttpSettings, wanted: TokenRequest, signal: AbortSignal): Promise<string> {
  const realm = realmOf(wanted);
  const answer = await send(settings, requestOf(realm, wanted), signal);
  if (answer.status !== 200) return await refused(answer);
  const text = (await readWhole(answer, maxTokenBytes, "the token server's answer")).toString("utf8");
  const token = readToken(text);
  if (token !== undefined) return token;
  throw new RuntimeError("unavailable", `the token server ${realm.host} gave no token`, {
    hint: "check that nothing (a proxy, a login page) is between this machine and it",
  });
}

function requestOf(realm: URL, { challenge, scope, credentials, once }: TokenRequest): HttpRequest {
  const service = challenge.parameters.get("service") ?? "";
  const headers = { accept: "application/json" };
  if (credentials.kind === "identity") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.token,
      client_id: "a3s-box-cri-runtime",
      service,
      scope,
    });
    const formHeaders = { ...headers, "content-type": "application/x-www-form-urlencoded" };
    return { method: "POST", url: realm, headers: formHeaders, body: form.toString(), once };
  }
  const url = new URL(realm);
  if (service !== "") url.searchParams.set("service", service);
  url.searchParams.set("scope", scope);
  if (credentials.kind !== "password") return { method: "GET", url, headers, once };
  const authorization = basicHeader(credentials.username, credentials.password);
  return { method: "GET", url, headers: { ...headers, authorization }, once };
}

/** The password goes where the realm says: in the clear only for a registry that is itself in the clear. */
function realmOf({ challenge, registry }: TokenRequest): URL {
  const text = challenge.parameters.get("realm") ?? "";
  let realm: URL;
  try {
    realm = new URL(text);
  } catch (cause) {
    throw new RuntimeError("unavailable", `${registry.host} wants a token but names no token server`, {
      hint: "its administrator must set the realm of its token authentication",
      cause,
    });
  }
  if (realm.protocol === "https:" || (realm.protocol === "http:" && registry.protocol === "http:")) return realm;
  throw new RuntimeError("failedPrecondition", `${registry.host} wants credentials sent to ${realm.host} without TLS`, {
    hint: "its administrator must name a token server with https://",
  });
}

function readToken(text: string): string | undefined {
  try {
    const parsed = tokenSchema.parse(JSON.parse(text));
    const token = parsed.token ?? parsed.access_token ?? "";
    return token === "" || /[\r\n]/.test(token) ? undefined : token;
  } catch {
    return undefined; // not JSON, or not of this form: the caller says so
  }
}

async function refused(answer: HttpAnswer): Promise<never> {
  await answer.discard();
  const { host } = answer.url;
  if (answer.status === 401 || answer.status === 403 || answer.status === 400) {
    throw new RuntimeError(
      "failedPrecondition",
      `the token server ${host} refuses the credentials (${answer.status})`,
      {
        hint: "check the user, the password or token, and that they may read this repository",
      },
    );
  }
  throw new RuntimeError("unavailable", `the token server ${host} answers ${answer.status}`, {
    hint: "pull again later",
  });
}
