import type { ServerResponse } from "node:http";
import { RuntimeError } from "../../../base/errors.js";
import { jsonBody } from "../../http/read-body.js";
import type { HttpProtocol, HttpRequest } from "../../listen/protocol.js";
import { given } from "../given.js";
import type { SandboxdParts } from "../parts.js";
import { runToEnd } from "../run-to-end.js";
import {
  createBody,
  egressBody,
  egressFactsJson,
  egressWanted,
  extendBody,
  filterOf,
  runBody,
  sandboxJson,
  wantedOf,
} from "./control-messages.js";
import { quotaError, sendJson, sendNothing } from "./errors.js";
import { callerOf, decoded, restProtocol } from "./protocol.js";

const all = "/v1/sandboxes";
const largestBody = 1024 * 1024;
const usualPage = 100;
const largestPage = 1000;
/** Of what a command has written: it comes as text of JSON. */
const longestOutput = 4 * 1024 * 1024;

/** The REST face of sandboxes.v1, for curl: what a person at a terminal, or a script, needs of it. */
export function controlProtocol(parts: SandboxdParts): HttpProtocol {
  return restProtocol(parts, {
    name: "control",
    takes: (path) => path === all || path.startsWith(`${all}/`),
    errorOf: quotaError,
    handle: async (request, response, path) => {
      const [id = "", action, ...more] = path.slice(all.length + 1).split("/");
      if (more.length > 0) throw new RuntimeError("notFound", `there is no ${path}`);
      const name = `${request.method} ${all}${id === "" ? "" : "/ID"}${action === undefined ? "" : `/${action}`}`;
      const answer = answers[name];
      if (answer === undefined) {
        throw new RuntimeError("unimplemented", `there is no ${name}`, { hint: Object.keys(answers).join(", ") });
      }
      await answer(parts, request, response, decoded(id));
    },
  });
}

type Answer = (parts: SandboxdParts, request: HttpRequest, response: ServerResponse, id: string) => Promise<void>;

const answers: Readonly<Record<string, Answer | undefined>> = {
  "POST /v1/sandboxes": async ({ sandboxes }, request, response) => {
    const body = await jsonBody(request.message, largestBody, createBody);
    const view = await sandboxes.create(callerOf(request), wantedOf(body), request.signal);
    response.setHeader("location", `${all}/${view.id}`);
    sendJson(response, 201, sandboxJson(view));
  },
  "GET /v1/sandboxes": ({ sandboxes }, request, response) => {
    const query = request.url.searchParams;
    const limit = Math.min(limitIn(query), largestPage);
    const page = { limit, ...given("after", query.get("page_token") ?? undefined) };
    const { items, next } = sandboxes.list(callerOf(request), filterOf(query), page);
    sendJson(response, 200, { sandboxes: items.map(sandboxJson), ...given("next_page_token", next) });
    return Promise.resolve();
  },
  "GET /v1/sandboxes/ID": ({ sandboxes }, request, response, id) => {
    sendJson(response, 200, sandboxJson(sandboxes.get(callerOf(request), id)));
    return Promise.resolve();
  },
  "DELETE /v1/sandboxes/ID": async ({ sandboxes }, request, response, id) => {
    await sandboxes.end(callerOf(request), id, request.signal);
    sendNothing(response);
  },
  "POST /v1/sandboxes/ID/extend": async ({ sandboxes }, request, response, id) => {
    const body = await jsonBody(request.message, largestBody, extendBody);
    const view = await sandboxes.extend(callerOf(request), id, body.life_ms, body.only_later ? "later" : "any");
    sendJson(response, 200, sandboxJson(view));
  },
  "POST /v1/sandboxes/ID/pause": async ({ sandboxes }, request, response, id) => {
    await sandboxes.pause(callerOf(request), id, request.signal);
    sendJson(response, 200, sandboxJson(sandboxes.get(callerOf(request), id)));
  },
  "POST /v1/sandboxes/ID/resume": async ({ sandboxes }, request, response, id) => {
    sendJson(response, 200, sandboxJson(await sandboxes.resume(callerOf(request), id, request.signal)));
  },
  "POST /v1/sandboxes/ID/run": run,
  "GET /v1/sandboxes/ID/skills": ({ sandboxes }, request, response, id) => {
    sendJson(response, 200, { skills: sandboxes.skills(callerOf(request), id) });
    return Promise.resolve();
  },
  "PUT /v1/sandboxes/ID/egress": async ({ sandboxes }, request, response, id) => {
    const body = await jsonBody(request.message, largestBody, egressBody);
    const view = await sandboxes.setEgress(callerOf(request), id, egressWanted(body), request.signal);
    sendJson(response, 200, sandboxJson(view));
  },
  "GET /v1/sandboxes/ID/egress": async ({ sandboxes }, request, response, id) => {
    const caller = callerOf(request);
    const facts = await sandboxes.egress(caller, id, request.signal);
    sendJson(response, 200, egressFactsJson(sandboxes.get(caller, id), facts));
  },
};

function limitIn(query: URLSearchParams): number {
  const text = query.get("page_size");
  if (text === null) return usualPage;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new RuntimeError("invalidArgument", "page_size is a number from 1 up");
  return Number(text);
}

async function run(parts: SandboxdParts, request: HttpRequest, response: ServerResponse, id: string): Promise<void> {
  const body = await jsonBody(request.message, largestBody, runBody);
  const { command, env, user, stdin } = body;
  const args = command === undefined ? (body.args ?? []) : ["/bin/sh", "-c", command];
  const wanted = {
    ...{ args, env, user, workingDir: body.working_dir, tag: "", limitMs: body.limit_ms },
    stdin: stdin !== undefined,
  };
  const processes = parts.sandboxes.processes(callerOf(request), id);
  const options = { longest: longestOutput, ...given("input", stdin === undefined ? undefined : Buffer.from(stdin)) };
  const { exit, stdout, stderr } = await runToEnd(processes, wanted, options, parts.log, request.signal);
  sendJson(response, 200, {
    exit_code: exit.code,
    signal: exit.signal,
    timed_out: exit.timedOut,
    stdout: stdout.toString("utf8"),
    stderr: stderr.toString("utf8"),
  });
}
