import { RuntimeError } from "../../base/errors.js";
import type { RegistryAuth } from "../image-store.js";

/** What the members of an auth come down to. */
export type Credentials =
  | { readonly kind: "anonymous" }
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** OAuth 2 refresh token for the token server. */
  | { readonly kind: "identity"; readonly token: string }
  /** Bearer token for the registry itself. */
  | { readonly kind: "bearer"; readonly token: string };

export const anonymous: Credentials = { kind: "anonymous" };

/**
 * Source: CRI AuthConfig; the order is containerd's (internal/cri/server/images/image_pull.go, ParseAuth), with two
 * more: a registry token is taken, and a user without a password doesn't hide an identity token.
 */
export function credentialsOf(auth: Omit<RegistryAuth, "serverAddress">): Credentials {
  const { username, password, identityToken } = auth;
  if (username !== "" && (password !== "" || identityToken === "")) return { kind: "password", username, password };
  if (identityToken !== "") return { kind: "identity", token: identityToken };
  if (auth.auth !== "") return decodeAuth(auth.auth);
  if (auth.registryToken !== "") return { kind: "bearer", token: auth.registryToken };
  return anonymous;
}

export function basicHeader(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

function decodeAuth(encoded: string): Credentials {
  // Some writers pad the text with NULs to a fixed length.
  const text = Buffer.from(encoded, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = text.indexOf(":");
  if (colon < 0) {
    throw new RuntimeError("invalidArgument", "the auth of the registry credentials is not base64 of user:password");
  }
  return { kind: "password", username: text.slice(0, colon), password: text.slice(colon + 1) };
}
