/** E2B's control REST: what its SDKs find at E2B_API_URL, with and without the version in the path. */
import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import type { HttpProtocol, HttpRequest } from "../../listen/protocol.js";
import { sendJson, sendRestError } from "../answer.js";
import { restError, RestFailure } from "../errors.js";
import type { E2bOptions } from "../options.js";
import type { Action, ControlCall } from "./call.js";
import { create } from "./create.js";
import * as life from "./life.js";
import { list } from "./list.js";
import { logs } from "./logs.js";

const notBuilt =
  (what: string): Action =>
  () => {
    throw new RuntimeError("unimplemented", `${what}: not built`);
  };

const templatesAreConfigured = notBuilt("templates are tables of the daemon's configuration; building them here");

/** Of each, what is behind "/sandboxes": "" for all of them, "/" for one, "/timeout" and its like for what is below one. */
const ofSandboxes: Readonly<Record<string, Action>> = {
  "POST ": create,
  "GET ": list,
  "GET /": life.detail,
  "DELETE /": life.end,
  "POST /connect": life.connect,
  "POST /resume": life.resume,
  "POST /pause": life.pause,
  "POST /timeout": life.timeout,
  "POST /refreshes": life.refresh,
  "GET /metrics": life.metrics,
  "PUT /network": life.network,
  "GET /logs": logs,
  "POST /snapshots": notBuilt("snapshots of sandboxes"),
  "POST /fork": notBuilt("forks of sandboxes"),
};

const others: Readonly<Record<string, Action>> = {
  snapshots: notBuilt("snapshots of sandboxes"),
  templates: templatesAreConfigured,
  volumes: notBuilt("volumes"),
  secrets: notBuilt("secrets"),
};

interface Route {
  readonly action: Action;
  readonly name: string;
  readonly version: number;
}

export class ControlPlane implements HttpProtocol {
  readonly name = "e2b control";
  readonly #options: E2bOptions;

  constructor(options: E2bOptions) {
    this.#options = options;
  }

  takes({ url }: HttpRequest): boolean {
    const { kind } = placeIn(url.pathname);
    return kind === "sandboxes" || Object.hasOwn(others, kind);
  }

  async handle(request: HttpRequest, response: ServerResponse): Promise<void> {
    let name = "";
    try {
      if (request.caller === undefined) throw new RuntimeError("unauthenticated", "no X-API-Key that is known");
      const route = routeOf(request);
      ({ name } = route);
      const { caller } = request;
      await route.action({ options: this.#options, caller, request, response, ...route });
    } catch (thrown) {
      if (request.signal.aborted) response.destroy();
      else {
        const error = restError(life.inWordsOfSandbox(thrown, name), this.#options.log);
        sendRestError(request.message, response, error);
      }
    }
  }
}

/** "/v2/sandboxes/ID/timeout" in its parts. What begins with /v1 is ours, on the same port: of E2B nothing does. */
function placeIn(pathname: string): { version: number; kind: string; rest: readonly string[] } {
  const [, version, path = ""] = /^(?:\/v([2-9]))?\/(.*)$/s.exec(pathname) ?? [];
  const [kind = "", ...rest] = path.split("/");
  return { version: Number(version ?? "1"), kind, rest };
}

function routeOf({ method, url }: HttpRequest): Route {
  const { version, kind, rest } = placeIn(url.pathname);
  const [name = "", what = "", ...more] = rest;
  if (kind === "templates" && method === "GET" && name === "aliases" && more.length === 0) {
    return { action: aliasOf(what), name: "", version };
  }
  const other = Object.hasOwn(others, kind) ? others[kind] : undefined;
  if (other !== undefined) return { action: other, name: "", version };
  const key = `${method} ${rest.length === 0 ? "" : `/${what}`}`;
  const action = more.length === 0 && Object.hasOwn(ofSandboxes, key) ? ofSandboxes[key] : undefined;
  if (action === undefined)
    throw new RestFailure(404, `there is no ${method} ${url.pathname.slice(0, 200)}`, "notFound");
  return { action, name, version };
}

function aliasOf(alias: string): Action {
  return ({ options, response }: ControlCall) => {
    if (!options.templates.includes(alias)) throw new RestFailure(404, "there is no such template", "notFound");
    sendJson(response, 200, { templateID: alias, public: true });
    return Promise.resolve();
  };
}
