/** Who may use the data plane of a sandbox: its tenant, or whoever has its token, or what was signed with that. */
import { createHash } from "node:crypto";
import { RuntimeError } from "../../base/errors.js";
import type { Caller } from "../core/caller.js";
import type { SandboxView } from "../core/sandbox.js";
import type { Sandboxes } from "../core/sandboxes.js";
import type { HttpRequest } from "../listen/protocol.js";
import { envdPort } from "./options.js";
import { signedBy } from "./files/signature.js";
import { sameSecret } from "./same-secret.js";

export interface Granted {
  readonly caller: Caller;
  readonly view: SandboxView;
  /** What has been shown: what authorises a caller is not for the sandbox's eyes. */
  readonly by: "caller" | "token";
}

/** Throws `notFound` where there is no such sandbox for who asks, and `unauthenticated`. */
export function granted(sandboxes: Sandboxes, request: HttpRequest, id: string, port: number): Granted {
  const token = headerOf(request, "x-access-token");
  if (token !== undefined) {
    const view = sandboxes.held(id);
    if (!sameSecret(token, view.accessToken))
      throw new RuntimeError("unauthenticated", "X-Access-Token is not the sandbox's");
    return { caller: bearer(view), view, by: "token" };
  }
  const traffic = headerOf(request, "e2b-traffic-access-token");
  if (traffic !== undefined && port !== envdPort) {
    const view = sandboxes.held(id);
    if (!sameSecret(traffic, trafficToken(view))) {
      throw new RuntimeError("unauthenticated", "E2B-Traffic-Access-Token is not the sandbox's");
    }
    return { caller: bearer(view), view, by: "token" };
  }
  if (port === envdPort && request.url.pathname === "/files" && request.url.searchParams.has("signature")) {
    const view = sandboxes.held(id);
    signedBy(view.accessToken, request.method, request.url.searchParams, Date.now());
    return { caller: bearer(view), view, by: "token" };
  }
  if (request.caller !== undefined) {
    return { caller: request.caller, view: sandboxes.get(request.caller, id), by: "caller" };
  }
  sandboxes.held(id);
  throw new RuntimeError("unauthenticated", "neither X-Access-Token nor a signature nor a key came with the request");
}

/**
 * For the ports of programs in the sandbox alone: who has it reaches no files and starts nothing. It can't be turned back
 * into the access token.
 */
export function trafficToken(view: SandboxView): string {
  return createHash("sha256").update(`traffic:${view.accessToken}`).digest("hex");
}

function bearer(view: SandboxView): Caller {
  return { tenant: view.tenant, name: `token of sandbox ${view.id}` };
}

function headerOf({ message }: HttpRequest, name: string): string | undefined {
  const value = message.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
