/** Bearer tokens. Source: distribution spec, "Token Authentication Specification" and "OAuth2 Token Authentication". */
import { z } from "zod";
import { RuntimeError } from "../../base/errors.js";
import type { Challenge } from "./challenge.js";
import { basicHeader, type Credentials } from "./credentials.js";
import { readWhole, send, type HttpAnswer, type HttpRequest, type HttpSettings } from "./http.js";

const maxTokenBytes = 1024 * 1024;
const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() });

/** Asks the challenge's token server. `registry` is the origin that sent the challenge. */
export async function fetchToken(
  settings: HttpSettings,
  challenge: Challenge,
  scope: string,
  credentials: Credentials,
  registry: URL,
  signal: AbortSignal,
): Promise<string> {
  const realm = realmOf(challenge, registry);
  const answer = await send(settings, tokenRequest(realm, challenge, scope, credentials), signal);
  if (answer.status !== 200) return await refused(answer);
  const text = (await readWhole(answer, maxTokenBytes, "the token server's answer")).toString("utf8");
  const token = readToken(text);
  if (token !== undefined) return token;
  throw new RuntimeError("unavailable", `the token server ${realm.host} gave no token`);
}

function tokenRequest(realm: URL, challenge: Challenge, scope: string, credentials: Credentials): HttpRequest {
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
    return { method: "POST", url: realm, headers: formHeaders, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== "") url.searchParams.set("service", service);
  url.searchParams.set("scope", scope);
  if (credentials.kind !== "password") return { method: "GET", url, headers };
  const authorization = basicHeader(credentials.username, credentials.password);
  return { method: "GET", url, headers: { ...headers, authorization } };
}

/** The password goes where the realm says: in the clear only for a registry that is itself in the clear. */
function realmOf(challenge: Challenge, registry: URL): URL {
  const text = challenge.parameters.get("realm") ?? "";
  let realm: URL;
  try {
    realm = new URL(text);
  } catch (cause) {
    throw new RuntimeError("unavailable", `${registry.host} names no token server`, { cause });
  }
  if (realm.protocol === "https:" || (realm.protocol === "http:" && registry.protocol === "http:")) return realm;
  throw new RuntimeError("failedPrecondition", `${registry.host} wants credentials sent to ${realm.host} without TLS`);
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
  if (answer.status === 401 || answer.status === 403 || answer.status === 400) {
    throw new RuntimeError("failedPrecondition", `the token server ${answer.url.host} refuses (${answer.status})`, {
      hint: "check the credentials of this registry",
    });
  }
  throw new RuntimeError("unavailable", `the token server ${answer.url.host} answers ${answer.status}`);
}
