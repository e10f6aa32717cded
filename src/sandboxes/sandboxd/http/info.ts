import { monotonicMs } from "../../../base/clock.js";
import type { HttpProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { sendJson } from "./errors.js";
import { callerOf, restProtocol, sandboxOf } from "./protocol.js";

const shownPrefix = "SANDBOX_";
/** Names with one of these in them may hold secrets. */
const hidden = /TOKEN|SECRET|PASSWORD|PASSWD|CRED|KEY|AUTH|BEARER|PRIVATE|CERT/i;

/** `/v1/health` and `/v1/metadata` of KEP-539.2. */
export function infoProtocol(parts: SandboxdParts): HttpProtocol {
  const startedMs = monotonicMs();
  return restProtocol(parts, {
    name: "info",
    anybody: "/v1/health",
    takes: (path, { method }) =>
      (path === "/v1/health" || path === "/v1/metadata") && (method === "GET" || method === "HEAD"),
    handle: (request, response, path) => {
      if (path === "/v1/health") {
        const isStopping = parts.stopping.aborted;
        const uptime = Math.floor((monotonicMs() - startedMs) / 1000);
        sendJson(response, isStopping ? 503 : 200, { status: isStopping ? "stopping" : "ok", uptime_seconds: uptime });
        return Promise.resolve();
      }
      const { env } = parts.sandboxes.get(callerOf(request), sandboxOf(parts, request));
      const shown = Object.entries(env).filter(([name]) => name.startsWith(shownPrefix) && !hidden.test(name));
      sendJson(response, 200, { env: Object.fromEntries(shown) });
      return Promise.resolve();
    },
  });
}
