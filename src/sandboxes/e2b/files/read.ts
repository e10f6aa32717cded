import { basename } from "node:path/posix";
import { RuntimeError } from "../../../base/errors.js";
import type { ByteRange } from "../../core/file.js";
import { sendJson, writeTo } from "../answer.js";
import type { FilesCall } from "./files-call.js";
import { rangeAsked } from "../../http/range.js";

/** GET /files: the bytes of one file, all or a range, as fast as the client takes them. */
export async function readFile(call: FilesCall, path: string): Promise<void> {
  const { files, scope, request, response, signal } = call;
  const header = request.message.headers.range;
  if (header === undefined) {
    await send(call, path, { offset: 0 }, 200, {});
    return;
  }
  const { sizeBytes, kind } = await files.stat(path, scope, true, signal);
  const asked = kind === "file" ? rangeAsked(header, sizeBytes) : undefined;
  if (asked === "unsatisfiable") {
    const message = `the file has ${sizeBytes} bytes`;
    sendJson(response, 416, { code: 416, message }, { "content-range": `bytes */${sizeBytes}` });
  } else if (asked === undefined) {
    await send(call, path, { offset: 0 }, 200, {});
  } else {
    const last = asked.offset + asked.length - 1;
    await send(call, path, asked, 206, { "content-range": `bytes ${asked.offset}-${last}/${sizeBytes}` });
  }
}

async function send(
  { files, scope, response, signal }: FilesCall,
  path: string,
  range: ByteRange,
  status: number,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const { entry, data } = await files.read(path, scope, range, signal);
  // What the kernel makes up (/proc) says 0 and has more; else the length is a promise that is kept, or the answer cut off.
  const length = range.length ?? (entry.sizeBytes === 0 ? undefined : entry.sizeBytes);
  response.writeHead(status, {
    "content-type": "application/octet-stream",
    "content-disposition": `inline; filename*=UTF-8''${encodeURIComponent(Buffer.from(basename(entry.path)).toString())}`,
    "accept-ranges": "bytes",
    "last-modified": new Date(entry.modifiedAtMs).toUTCString(),
    ...headers,
    ...(length === undefined ? {} : { "content-length": length }),
  });
  let left = length ?? Number.POSITIVE_INFINITY;
  for await (const chunk of data) {
    const part = chunk.subarray(0, left);
    left -= part.length;
    await writeTo(response, part, signal);
    if (left === 0) break;
  }
  if (length !== undefined && left > 0) throw new RuntimeError("failedPrecondition", `${path} has become shorter`);
  response.end();
}
