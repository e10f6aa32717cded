import type { ServerResponse } from "node:http";
import * as z from "zod";
import { codeOf, RuntimeError } from "../../../base/errors.js";
import { boundaryOf, partsOf } from "../../http/multipart.js";
import { bytesOf, jsonBody } from "../../http/read-body.js";
import type { Files, FileScope } from "../../core/file.js";
import type { HttpProtocol, HttpRequest } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { withinRoot } from "../root.js";
import { runToEnd } from "../run-to-end.js";
import { listed } from "./directory.js";
import { type restError, restError as errorOf, sendJson } from "./errors.js";
import { callerOf, decoded, restProtocol, sandboxOf } from "./protocol.js";
import { sendBody } from "./send-body.js";
import { wordsOf } from "./words.js";

/** Requests that are addressed to a port of E2B's are not for us, though some of their paths are the same. */
const portsOfOthers: readonly (number | undefined)[] = [49_983, 49_999];
const largestBody = 1024 * 1024;
const longestOutput = 4 * 1024 * 1024;
const mostParts = 16;

const executeBody = z.object({ command: z.string().min(1), timeout_seconds: z.number().positive().optional() });

/**
 * The runtime that agent-sandbox's clients talk to where nobody has told them of sandboxd: `/execute`, `/upload`,
 * `/download/{path}`, `/list/{path}`, `/exists/{path}`.
 */
export function legacyProtocol(parts: SandboxdParts): HttpProtocol {
  return restProtocol(parts, {
    name: "legacy",
    takes: (path, { method, address }) => {
      const [, verb = ""] = /^\/([a-z]+)(?:\/|$)/.exec(path) ?? [];
      const isOurs = methods[verb] === method && (method === "GET" || path === `/${verb}`);
      return isOurs && !portsOfOthers.includes(address?.port);
    },
    errorOf: legacyError,
    handle: async (request, response, path) => {
      const [, verb = "", rest = ""] = /^\/([a-z]+)\/?(.*)$/.exec(path) ?? [];
      if (verb === "execute") await execute(parts, request, response);
      else if (verb === "upload") await upload(parts, request, response);
      else await look(parts, request, response, verb, `./${decoded(rest).replace(/^\/+/, "")}`);
    },
  });
}

const methods: Readonly<Record<string, string | undefined>> = {
  execute: "POST",
  upload: "POST",
  download: "GET",
  list: "GET",
  exists: "GET",
};

/** Its clients repeat 500 and 502 to 504. */
function legacyError(thrown: unknown): ReturnType<typeof restError> {
  const error = errorOf(thrown);
  return error.status === 409 ? { ...error, status: 400 } : error;
}

async function execute(parts: SandboxdParts, request: HttpRequest, response: ServerResponse): Promise<void> {
  const body = await jsonBody(request.message, largestBody, executeBody);
  const limitMs = Math.ceil((body.timeout_seconds ?? 0) * 1000);
  const wanted = { args: wordsOf(body.command), env: {}, workingDir: "", user: "", stdin: false, tag: "", limitMs };
  const processes = parts.sandboxes.processes(callerOf(request), sandboxOf(parts, request));
  try {
    const ran = await runToEnd(processes, wanted, { longest: longestOutput }, parts.log, request.signal);
    sendJson(response, 200, {
      stdout: ran.stdout.toString("utf8"),
      stderr: ran.stderr.toString("utf8"),
      exit_code: ran.exit.timedOut ? 124 : ran.exit.code,
      ...(ran.exit.timedOut ? { timed_out: true } : {}),
    });
  } catch (thrown) {
    // A program that is not there is a result to these clients, as a shell has it.
    if (codeOf(thrown) !== "notFound" || wanted.args.length === 0) throw thrown;
    sendJson(response, 200, { stdout: "", stderr: errorOf(thrown).message, exit_code: 127 });
  }
}

interface Place {
  readonly files: Files;
  readonly scope: FileScope;
}

function placeOf(parts: SandboxdParts, request: HttpRequest): Place {
  const [caller, id] = [callerOf(request), sandboxOf(parts, request)];
  return { files: parts.sandboxes.files(caller, id), scope: withinRoot(parts.sandboxes.get(caller, id)) };
}

async function upload(parts: SandboxdParts, request: HttpRequest, response: ServerResponse): Promise<void> {
  const { files, scope } = placeOf(parts, request);
  const boundary = boundaryOf(request.message.headers["content-type"] ?? "");
  if (boundary === undefined) throw new RuntimeError("invalidArgument", "an upload is multipart/form-data");
  for await (const { name, fileName, data } of partsOf(bytesOf(request.message), boundary, mostParts)) {
    if (name !== "file" || fileName === undefined || fileName === "") continue;
    const path = `./${fileName.replace(/^\/+/, "")}`;
    await files.write(path, scope, data, { parents: true }, request.signal);
    sendJson(response, 200, { message: `File '${fileName}' uploaded successfully.` });
    return;
  }
  throw new RuntimeError("invalidArgument", 'the form has no part "file" with a name');
}

async function look(
  parts: SandboxdParts,
  request: HttpRequest,
  response: ServerResponse,
  verb: string,
  path: string,
): Promise<void> {
  const { files, scope } = placeOf(parts, request);
  const { signal } = request;
  if (verb === "exists") {
    sendJson(response, 200, { path: path.slice("./".length), exists: await isThere(files, path, scope, signal) });
  } else if (verb === "list") {
    const { entries } = await listed(files, path, scope, signal);
    const shown = entries.map(({ name, entry }) => ({
      name,
      size: entry.sizeBytes,
      type: entry.kind === "directory" ? "directory" : "file",
      mod_time: entry.modifiedAtMs / 1000,
    }));
    sendJson(response, 200, shown);
  } else {
    const { data } = await files.read(path, scope, { offset: 0 }, signal);
    response.writeHead(200, { "content-type": "application/octet-stream" });
    await sendBody(response, data, signal);
  }
}

async function isThere(files: Files, path: string, scope: FileScope, signal: AbortSignal): Promise<boolean> {
  try {
    await files.stat(path, scope, true, signal);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === "notFound") return false;
    throw thrown;
  }
}
