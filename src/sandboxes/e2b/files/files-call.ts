import type { ServerResponse } from "node:http";
import type { Files, FileScope } from "../../core/file.js";
import type { HttpRequest } from "../../listen/protocol.js";

export interface FilesCall {
  readonly files: Files;
  readonly scope: FileScope;
  readonly request: HttpRequest;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}
