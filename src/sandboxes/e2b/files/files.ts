/** envd's REST for the bytes of files: /files. */
import type { ServerResponse } from "node:http";
import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import type { Files } from "../../core/file.js";
import type { HttpRequest } from "../../listen/protocol.js";
import { RestFailure } from "../errors.js";
import { scopeOf } from "../metadata.js";
import { readFile } from "./read.js";
import { writeFiles } from "./write.js";

const mostPath = 4096;

export async function serveFiles(
  request: HttpRequest,
  response: ServerResponse,
  files: Files,
  basicUser: string,
): Promise<void> {
  const { searchParams } = request.url;
  const path = searchParams.get("path") ?? "";
  if (path.length > mostPath || path.includes("\0")) throw new RuntimeError("invalidArgument", "no such path can be");
  const user = searchParams.get("username") ?? basicUser;
  const call = { files, scope: scopeOf(user), request, response, signal: request.signal };
  try {
    if (request.method === "GET") {
      if (path === "") throw new RuntimeError("invalidArgument", "no path");
      await readFile(call, path);
    } else if (request.method === "POST") await writeFiles(call, path);
    else throw new RestFailure(405, "GET or POST");
  } catch (thrown) {
    throw inWordsOfFiles(thrown);
  }
}

/** envd has statuses of its own here: 507 for a full disk, 400 for what the path is. */
function inWordsOfFiles(thrown: unknown): unknown {
  if (thrown instanceof RestFailure) return thrown;
  switch (codeOf(thrown)) {
    case "resourceExhausted":
      return new RestFailure(507, messageOf(thrown), "resourceExhausted");
    case "failedPrecondition":
    case "alreadyExists":
      return new RestFailure(400, messageOf(thrown), "invalidArgument");
    default:
      return thrown;
  }
}
