import { RuntimeError } from "../../base/errors.js";
import type { RegistryAuth } from "../image-store.js";

/** What CRI AuthConfig's members come down to. */
export type Credentials =
  | { readonly kind: "anonymous" }
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** OAuth 2 refresh token for the token server. */
  | { readonly kind: "identity"; readonly token: string }
  /** Bearer token for the registry itself. */
  | { readonly kind: "bearer"; readonly token: string };

/** Source: CRI AuthConfig; the order is containerd's (internal/cri/server/images/image_pull.go, ParseAuth). */
export function credentialsOf(auth: RegistryAuth | undefined): Credentials {
  if (auth === undefined) return { kind: "anonymous" };
  if (auth.username !== "") return { kind: "password", username: auth.username, password: auth.password };
  if (auth.identityToken !== "") return { kind: "identity", token: auth.identityToken };
  if (auth.auth !== "") return decodeAuth(auth.auth);
  if (auth.registryToken !== "") return { kind: "bearer", token: auth.registryToken };
  return { kind: "anonymous" };
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
