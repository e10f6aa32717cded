/** Links to one file for who has no token: the path, what may be done, for whom and how long, hashed with the token. */
import { createHash } from "node:crypto";
import { RuntimeError } from "../../../base/errors.js";
import { sameSecret } from "../same-secret.js";

const mostExpiration = 11; // digits of unix seconds, for some thousand years

/** Throws `unauthenticated` unless the query is signed with this token and its time has not come. */
export function signedBy(token: string, method: string, query: URLSearchParams, nowMs: number): void {
  const expiration = query.get("signature_expiration");
  if (expiration !== null && !(/^\d+$/.test(expiration) && expiration.length <= mostExpiration)) {
    throw new RuntimeError("unauthenticated", "signature_expiration is no time in seconds");
  }
  const user = query.get("username") ?? "";
  // The parts are joined with ":": with one in the user, what was signed for a path could be read as another's.
  if (user.includes(":")) throw new RuntimeError("unauthenticated", "a signature is for a user without a group");
  const operation = method === "GET" ? "read" : "write";
  const path = query.get("path") ?? "";
  const right = signatureOf(token, { path, operation, user, ...(expiration === null ? {} : { expiration }) });
  if (!sameSecret(query.get("signature") ?? "", right))
    throw new RuntimeError("unauthenticated", "the signature is wrong");
  if (expiration !== null && Number(expiration) * 1000 <= nowMs) {
    throw new RuntimeError("unauthenticated", "the signature has expired");
  }
}

export interface Signed {
  readonly path: string;
  readonly operation: "read" | "write";
  readonly user: string;
  /** Unix seconds, as they stand in the link. */
  readonly expiration?: string;
}

export function signatureOf(token: string, { path, operation, user, expiration }: Signed): string {
  const text = [path, operation, user, token, ...(expiration === undefined ? [] : [expiration])].join(":");
  return `v1_${createHash("sha256").update(text).digest("base64").replace(/=+$/, "")}`;
}
