/** A token server as registries have one beside them. Source: distribution, docs/spec/auth/{token,oauth,jwt}.md. */
import { randomUUID, sign, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { Certificate } from "./certificates.js";

export interface TokenServer {
  /** For the registry's config: its `auth.token`. */
  readonly realm: string;
  readonly issuer: string;
  readonly service: string;
  /** The tokens given so far. */
  readonly tokens: readonly string[];
  /** From now on tokens end this many seconds from now (below zero: in the past). */
  endAfter(seconds: number): void;
  token(scope: string): string;
  stop(): Promise<void>;
}

export interface TokenServerOptions {
  /** Signs; the registry trusts its authority. */
  readonly certificate: Certificate;
  readonly username: string;
  readonly password: string;
  /** Taken at the OAuth 2 side. */
  readonly refreshToken: string;
}

export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const key = await readFile(options.certificate.keyFile);
  const chain = [new X509Certificate(await readFile(options.certificate.certFile)).raw.toString("base64")];
  const [issuer, service] = ["test-issuer", "test-registry"];
  const tokens: string[] = [];
  let lifeSeconds = 300;
  const token = (scope: string): string => {
    const [type = "", name = "", actions = ""] = scope.split(":");
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now - 3600, nbf: now - 3600, exp: now + lifeSeconds, jti: randomUUID() };
    const access = [{ type, name, actions: actions.split(",") }];
    const parts = [
      { typ: "JWT", alg: "ES256", x5c: chain },
      { iss: issuer, sub: options.username, aud: service, access, ...times },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    const text = parts.join(".");
    const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  };
  const basic = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString("base64")}`;
  const scopeFor = async (request: IncomingMessage): Promise<string | null> => {
    const url = new URL(request.url ?? "", "http://localhost");
    if (request.method === "GET") {
      return request.headers.authorization === basic ? url.searchParams.get("scope") : null;
    }
    const form = new URLSearchParams(await text(request));
    const known = form.get("grant_type") === "refresh_token" && form.get("refresh_token") === options.refreshToken;
    return known && form.get("service") === service ? form.get("scope") : null;
  };
  const server = createServer((request, response) => {
    void scopeFor(request).then((scope) => {
      if (scope === null) {
        response.writeHead(401).end();
        return;
      }
      const given = token(scope);
      tokens.push(given);
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(request.method === "GET" ? { token: given } : { access_token: given }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    realm: `http://127.0.0.1:${port}/token`,
    issuer,
    service,
    tokens,
    token,
    endAfter: (seconds) => {
      lifeSeconds = seconds;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
