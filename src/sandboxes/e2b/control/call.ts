import type { ServerResponse } from "node:http";
import type { Caller } from "../../core/caller.js";
import type { HttpRequest } from "../../listen/protocol.js";
import type { E2bOptions } from "../options.js";

/** One call of the control REST, by a caller that is known. */
export interface ControlCall {
  readonly options: E2bOptions;
  readonly caller: Caller;
  readonly request: HttpRequest;
  readonly response: ServerResponse;
  /** What the path names: a sandbox, a template. */
  readonly name: string;
  /** Of the path: "/sandboxes" is 1. */
  readonly version: number;
}

export type Action = (call: ControlCall) => Promise<void>;
