import { RuntimeError } from "../../../base/errors.js";
import type { FileEntry } from "../../core/file.js";
import { sendJson } from "../answer.js";
import { RestFailure } from "../errors.js";
import { metadataAsked, metadataOf } from "../metadata.js";
import { bytesOf } from "../../http/read-body.js";
import type { FilesCall } from "./files-call.js";
import { boundaryOf, partsOf } from "../../http/multipart.js";

/** Of one request. */
const mostFiles = 1000;
const written = { parents: true };

/** POST /files: one file as it is, or a form with one in each part `file`. What has not come whole is not seen. */
export async function writeFiles(call: FilesCall, path: string): Promise<void> {
  const { request, response } = call;
  const { headers } = request.message;
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    throw new RestFailure(
      415,
      `Content-Encoding ${String(headers["content-encoding"])} is not taken: upload it as it is`,
    );
  }
  const type = headers["content-type"] ?? "";
  const boundary = boundaryOf(type);
  if (boundary !== undefined) {
    sendJson(response, 200, (await ofForm(call, path, boundary)).map(infoOf));
  } else if (/^application\/octet-stream\b/i.test(type)) {
    if (path === "") throw new RuntimeError("invalidArgument", "no path for the file");
    sendJson(response, 200, [infoOf(await write(call, path, bytesOf(request.message)))]);
  } else {
    throw new RestFailure(415, "neither multipart/form-data nor application/octet-stream");
  }
}

async function ofForm(call: FilesCall, path: string, boundary: string): Promise<FileEntry[]> {
  const entries: FileEntry[] = [];
  for await (const part of partsOf(bytesOf(call.request.message), boundary, mostFiles)) {
    if (part.name !== "file") continue;
    if (path !== "" && entries.length > 0) throw new RuntimeError("invalidArgument", "several files, and one path");
    const to = path === "" ? (part.fileName ?? "") : path;
    if (to === "") throw new RuntimeError("invalidArgument", "a file without a name, and no path");
    entries.push(await write(call, to, part.data));
  }
  if (entries.length === 0) throw new RuntimeError("invalidArgument", `no part "file" in the form`);
  return entries;
}

async function write(call: FilesCall, path: string, body: AsyncIterable<Uint8Array>): Promise<FileEntry> {
  if (path.includes("\0")) throw new RuntimeError("invalidArgument", "the path has a NUL");
  const attributes = metadataAsked(call.request.message);
  const wanted = attributes === undefined ? written : { ...written, attributes };
  return await call.files.write(path, call.scope, body, wanted, call.signal);
}

function infoOf({ name, path, attributes }: FileEntry): unknown {
  const metadata = metadataOf(attributes);
  return { path, name, type: "file", ...(metadata === undefined ? {} : { metadata }) };
}
