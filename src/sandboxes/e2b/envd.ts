/** What the clients take for envd, at port 49983 of a sandbox: it is answered here, and nothing of it is in the sandbox. */
import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../base/errors.js";
import type { SandboxUsage } from "../core/sandbox.js";
import type { HttpRequest } from "../listen/protocol.js";
import type { Granted } from "./access.js";
import { sendJson, sendNothing } from "./answer.js";
import { serveCall } from "./connect/call.js";
import type { Method } from "./connect/method.js";
import { userOf } from "./connect/user.js";
import { RestFailure } from "./errors.js";
import { serveFiles } from "./files/files.js";
import { filesystemMethods } from "./filesystem/service.js";
import type { Watchers } from "./filesystem/watchers.js";
import type { E2bOptions } from "./options.js";
import { processMethods } from "./process/service.js";
import { bodyBytes } from "../http/read-body.js";

const mostInitBytes = 1024 * 1024;
const mib = 1024 * 1024;

export class Envd {
  readonly #options: E2bOptions;
  readonly #services: ReadonlyMap<string, Readonly<Record<string, Method>>>;

  constructor(options: E2bOptions, watchers: Watchers) {
    this.#options = options;
    this.#services = new Map([
      ["process.Process", processMethods],
      ["filesystem.Filesystem", filesystemMethods(watchers)],
    ]);
  }

  async handle(granted: Granted, request: HttpRequest, response: ServerResponse): Promise<void> {
    const { pathname } = request.url;
    const [, service = "", name = "", ...rest] = pathname.split("/");
    const methods = this.#services.get(service);
    if (methods !== undefined && rest.length === 0) {
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (method === undefined) throw new RuntimeError("unimplemented", `there is no ${service}/${name.slice(0, 80)}`);
      await serveCall(this.#options, `${service}/${name}`, method, granted, request, response);
      return;
    }
    await this.#rest(granted, request, response);
  }

  async #rest({ caller, view }: Granted, request: HttpRequest, response: ServerResponse): Promise<void> {
    const { sandboxes } = this.#options;
    if (request.url.pathname === "/files") {
      const user = userOf(request.message.headers.authorization);
      await serveFiles(request, response, sandboxes.files(caller, view.id), user);
      return;
    }
    switch (`${request.method} ${request.url.pathname}`) {
      case "GET /health":
        sendNothing(response);
        return;
      case "GET /metrics":
        sendJson(response, 200, metricsOf(await sandboxes.usage(caller, view.id, request.signal)));
        return;
      case "GET /envs":
        sendJson(response, 200, view.env);
        return;
      case "POST /init":
        // For who makes sandboxes out of snapshots. All of it is known here already: it is taken, and changes nothing.
        await bodyBytes(request.message, mostInitBytes);
        sendNothing(response);
        return;
      default:
        throw new RestFailure(404, `there is no ${request.method} ${request.url.pathname.slice(0, 200)}`, "notFound");
    }
  }
}

function metricsOf(usage: SandboxUsage): unknown {
  return {
    ts: Math.floor(usage.atMs / 1000),
    cpu_count: usage.vcpus,
    cpu_used_pct: usage.cpuPercent,
    mem_total: usage.memoryTotalBytes,
    mem_used: usage.memoryUsedBytes,
    mem_cache: usage.memoryCacheBytes,
    mem_total_mib: Math.round(usage.memoryTotalBytes / mib),
    mem_used_mib: Math.round(usage.memoryUsedBytes / mib),
    disk_used: usage.diskUsedBytes,
    disk_total: usage.diskTotalBytes,
  };
}
