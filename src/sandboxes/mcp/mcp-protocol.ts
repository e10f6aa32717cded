import type { Logger } from "../../base/log.js";
import { packageVersion } from "../../base/version.js";
import type { Sandboxes } from "../core/sandboxes.js";
import { answerError } from "../listen/http/answers.js";
import type { HttpProtocol } from "../listen/protocol.js";
import { withTools, type ToolParts } from "./tools.js";
import { sendWebResponse, webRequestOf } from "./web-request.js";

/** The largest file that a call may bring, in base64, and what is around it. */
const mostRequestBytes = 24 * 1024 * 1024;
/** Of the transport; the Fetch standard has no requests of some others. */
const methods: readonly string[] = ["POST", "GET", "DELETE"];

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
      const { caller, method } = request;
      if (caller === undefined) {
        answerError(response, 401, "a token is needed: Authorization: Bearer TOKEN");
        return;
      }
      if (!methods.includes(method)) {
        answerError(response, 405, `no ${method} here`, { allow: methods.join(", ") });
        return;
      }
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
