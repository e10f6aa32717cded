import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import type { Caller } from "../../core/caller.js";
import type { HttpProtocol, HttpRequest } from "../../listen/protocol.js";
import { chosenSandbox } from "../chosen.js";
import type { SandboxdParts } from "../parts.js";
import { restError, sendError } from "./errors.js";
import type { ServerResponse } from "node:http";

export interface Protocol {
  readonly name: string;
  /** `path`: as the client has sent it, not decoded. */
  readonly takes: (path: string, request: HttpRequest) => boolean;
  readonly handle: (request: HttpRequest, response: ServerResponse, path: string) => Promise<void>;
  /** A path that whoever connects may ask for; of all others nothing is read before it is known who calls. */
  readonly anybody?: string;
  /** Else as `restError`. */
  readonly errorOf?: typeof restError;
}

/** A protocol whose failures are answered in one form. */
export function restProtocol({ log }: SandboxdParts, protocol: Protocol): HttpProtocol {
  const errorOf = protocol.errorOf ?? restError;
  return {
    name: protocol.name,
    takes: (request) => protocol.takes(sentPath(request), request),
    handle: async (request, response) => {
      try {
        const path = sentPath(request);
        if (path !== protocol.anybody) callerOf(request);
        await protocol.handle(request, response, path);
      } catch (thrown) {
        const fields = {
          protocol: protocol.name,
          method: request.method,
          code: codeOf(thrown),
          err: messageOf(thrown),
        };
        if (thrown instanceof RuntimeError || request.signal.aborted) log.debug(fields, "request failed");
        else log.error({ ...fields, stack: thrown instanceof Error ? thrown.stack : undefined }, "request failed");
        sendError(response, errorOf(thrown));
      }
    },
  };
}

/**
 * The path as it was sent: a parsed URL has its "..", and "%2e%2e", taken out already, and what they lead to is for the
 * sandbox to say.
 */
function sentPath({ message, url }: HttpRequest): string {
  const sent = message.url ?? "";
  return sent.startsWith("/") ? (/^[^?#]*/.exec(sent)?.[0] ?? "") : url.pathname;
}

export function callerOf({ caller }: HttpRequest): Caller {
  if (caller === undefined) throw new RuntimeError("unauthenticated", "a token is needed");
  return caller;
}

/** The sandbox that the request's headers name, else the only one. */
export function sandboxOf({ sandboxes }: SandboxdParts, request: HttpRequest): string {
  return chosenSandbox(sandboxes, callerOf(request), request.address?.id);
}

/** "%2F" and its like, once. A name that is not UTF-8 can't be said here. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new RuntimeError("invalidArgument", "the path is not UTF-8, percent-encoded", { cause });
  }
}

export function flagOf(url: URL, name: string): boolean {
  const value = url.searchParams.get(name);
  if (value === null || value === "false" || value === "0") return false;
  if (value === "true" || value === "1" || value === "") return true;
  throw new RuntimeError("invalidArgument", `${name} is true or false`);
}
