import { RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { packageVersion } from "../../base/version.js";
import type { Sandboxes } from "../core/sandboxes.js";
import type { HttpProtocol, HttpRequest } from "../listen/protocol.js";
import { withTools, type ToolParts } from "./tools.js";
import { sendWebResponse, webRequestOf } from "./web-request.js";

/** The largest file that a call may bring, in base64, and what is around it. */
const mostRequestBytes = 24 * 1024 * 1024;

/**
 * The Model Context Protocol at `/mcp`, both eras of it: that of 2026-07-28, where each request stands for itself, and
 * those before, whose clients begin with `initialize`. Nothing is kept between requests: a sandbox's id is what goes on.
 * Its library is as large as the rest of the edge: it is loaded by the first request.
 */
export function mcpProtocol(core: Sandboxes, log: Logger, theOne?: ToolParts["theOne"]): HttpProtocol {
  return {
    name: "mcp",
    takes: ({ url }) => url.pathname === "/mcp",
    handle: async (request, response) => {
      const caller = callerOf(request);
      const parts: ToolParts = { core, caller, log, ...(theOne === undefined ? {} : { theOne }) };
      const { createMcpHandler, McpServer } = await import("@modelcontextprotocol/server");
      const name = { name: "a3s-box", version: packageVersion() };
      // The library asks for a fresh one with each request.
      const handler = createMcpHandler(() => withTools(new McpServer(name), parts), {
        maxRequestBodySize: mostRequestBytes,
      });
      try {
        await sendWebResponse(await handler.fetch(webRequestOf(request)), response);
      } finally {
        await handler.close();
      }
    },
  };
}

function callerOf({ caller }: HttpRequest) {
  if (caller !== undefined) return caller;
  throw new RuntimeError("unauthenticated", "who calls is not known", { hint: "send a token of the configuration" });
}
