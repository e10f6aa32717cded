import type { IncomingMessage, ServerResponse } from "node:http";
import { codeOf, RuntimeError } from "../../../base/errors.js";
import type { FileEntry, Files, FileScope } from "../../core/file.js";
import { boundaryOf, partsOf } from "../../http/multipart.js";
import { bytesOf } from "../../http/read-body.js";
import type { HttpProtocol, HttpRequest } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { withinRoot } from "../root.js";
import { emptied, listed } from "./directory.js";
import { sendJson, sendNothing } from "./errors.js";
import { callerOf, decoded, flagOf, restProtocol, sandboxOf } from "./protocol.js";
import { rangeAsked } from "../../http/range.js";
import { sendBody } from "./send-body.js";

const prefix = "/v1/files";
const modeText = /^0[0-7]{3}$/;
/** Of a form: the file and what clients put beside it. */
const mostParts = 16;

/** `/v1/files/{path}` of KEP-539.2: the files below the sandbox's working directory. */
export function filesProtocol(parts: SandboxdParts): HttpProtocol {
  return restProtocol(parts, {
    name: "files",
    takes: (path) => path === prefix || path.startsWith(`${prefix}/`),
    handle: async (request, response, sent) => {
      const id = sandboxOf(parts, request);
      const caller = callerOf(request);
      const place: Place = {
        files: parts.sandboxes.files(caller, id),
        scope: withinRoot(parts.sandboxes.get(caller, id)),
        path: withoutSlash(decoded(sent.slice(prefix.length))),
      };
      await answerTo(request, response, place);
    },
  });
}

interface Place {
  readonly files: Files;
  readonly scope: FileScope;
  /** Relative to the root. */
  readonly path: string;
}

/** All paths are relative to the root, with a slash before them or without. */
function withoutSlash(path: string): string {
  if (path.includes("\0")) throw new RuntimeError("invalidArgument", "no path has a NUL in it");
  const relative = path.replace(/^\/+/, "");
  return relative === "" ? "." : `./${relative}`;
}

async function answerTo(request: HttpRequest, response: ServerResponse, place: Place): Promise<void> {
  switch (request.method) {
    case "GET":
    case "HEAD": {
      const entry = await place.files.stat(place.path, place.scope, true, request.signal);
      if (entry.kind === "directory") await sendDirectory(place, entry, response, request.signal);
      else if (entry.kind === "file") await sendFile(request, response, place, entry);
      else throw new RuntimeError("invalidArgument", "it is neither a file nor a directory");
      return;
    }
    case "PUT":
      await put(request, place);
      sendNothing(response);
      return;
    case "DELETE":
      await remove(place, flagOf(request.url, "recursive"), request.signal);
      sendNothing(response);
      return;
    default:
      response.setHeader("allow", "GET, HEAD, PUT, DELETE");
      sendJson(response, 405, { code: "INVALID_ARGUMENT", message: `no ${request.method} for files` });
  }
}

async function sendDirectory(
  { files, scope, path }: Place,
  directory: FileEntry,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const { entries, truncated } = await listed(files, path, scope, signal);
  sendJson(response, 200, {
    path: belowRoot(directory.path, scope.root ?? "/"),
    entries: entries.map(({ name, entry }) => ({
      name,
      size: entry.sizeBytes,
      type: entry.kind === "directory" ? "directory" : "file",
      modified_at: new Date(entry.modifiedAtMs).toISOString(),
      mode: `0${(entry.mode & 0o777).toString(8).padStart(3, "0")}`,
    })),
    ...(truncated ? { truncated } : {}),
  });
}

function belowRoot(path: string, root: string): string {
  const base = root.replace(/\/+$/, "");
  return path.startsWith(`${base}/`) ? path.slice(base.length) : "/";
}

async function sendFile(
  request: HttpRequest,
  response: ServerResponse,
  { files, scope, path }: Place,
  seen: FileEntry,
): Promise<void> {
  const part = rangeAsked(request.message.headers.range, seen.sizeBytes);
  if (part === "unsatisfiable") {
    response.setHeader("content-range", `bytes */${String(seen.sizeBytes)}`);
    sendJson(response, 416, { code: "INVALID_ARGUMENT", message: "the range begins behind the file's end" });
    return;
  }
  const { offset, length } = part ?? { offset: 0, length: seen.sizeBytes };
  const head = {
    "content-type": "application/octet-stream",
    "content-length": length,
    "accept-ranges": "bytes",
    "last-modified": new Date(seen.modifiedAtMs).toUTCString(),
    ...(part === undefined
      ? {}
      : { "content-range": `bytes ${String(offset)}-${String(offset + length - 1)}/${String(seen.sizeBytes)}` }),
  };
  if (request.method === "HEAD") {
    response.writeHead(part === undefined ? 200 : 206, head).end();
    return;
  }
  const { data } = await files.read(path, scope, { offset, length }, request.signal);
  response.writeHead(part === undefined ? 200 : 206, head);
  await sendBody(response, exactly(data, length), request.signal);
}

/** A file that has become shorter meanwhile is not what was promised: the answer is broken off. */
async function* exactly(data: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array, void> {
  let left = length;
  for await (const bytes of data) {
    const wanted = bytes.subarray(0, left);
    left -= wanted.length;
    if (wanted.length > 0) yield wanted;
  }
  if (left > 0) throw new RuntimeError("unavailable", "the file has become shorter while it was read");
}

async function put({ message, url, signal }: HttpRequest, { files, scope, path }: Place): Promise<void> {
  const mode = url.searchParams.get("mode") ?? "0644";
  if (!modeText.test(mode))
    throw new RuntimeError("invalidArgument", 'mode is four octal digits, the first of them "0"');
  if (path === ".") throw new RuntimeError("invalidArgument", "the root is a directory");
  const wanted = { mode: Number.parseInt(mode, 8), parents: true };
  const write = async (body: AsyncIterable<Uint8Array>): Promise<void> => {
    await files.write(path, scope, body, wanted, signal);
  };
  const boundary = boundaryOf(message.headers["content-type"] ?? "");
  if (boundary === undefined) await write(whole(message));
  else await writePart(message, boundary, write);
}

/** A body that was cut off is not the file. */
async function* whole(message: IncomingMessage): AsyncGenerator<Uint8Array, void> {
  yield* bytesOf(message);
  if (!message.complete) throw new RuntimeError("canceled", "the connection ended in the middle of the body");
}

async function writePart(
  message: IncomingMessage,
  boundary: string,
  write: (body: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  for await (const { name, data } of partsOf(whole(message), boundary, mostParts)) {
    if (name !== "file") continue;
    await write(data);
    return;
  }
  throw new RuntimeError("invalidArgument", 'the form has no part "file"');
}

async function remove({ files, scope, path }: Place, recursive: boolean, signal: AbortSignal): Promise<void> {
  const isRoot = await isTheRoot(files, path, scope, signal);
  if (!isRoot) await files.remove(path, scope, recursive, signal);
  else if (recursive) await emptied(files, path, scope, signal);
  else throw new RuntimeError("failedPrecondition", "the root is not removed", { hint: "recursive empties it" });
}

async function isTheRoot(files: Files, path: string, scope: FileScope, signal: AbortSignal): Promise<boolean> {
  try {
    // Not through a last link: it is the link that goes.
    const [entry, root] = await Promise.all([
      files.stat(path, scope, false, signal),
      files.stat(".", scope, true, signal),
    ]);
    return entry.path === root.path;
  } catch (thrown) {
    if (codeOf(thrown) === "notFound") throw new RuntimeError("notFound", "there is no such file", { cause: thrown });
    throw thrown;
  }
}
