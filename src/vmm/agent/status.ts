import { status, type ServiceError } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { fromStatusCode } from "../../grpc/status.js";
import { printable } from "../console.js";
import type { CallScope } from "./call-scope.js";
import { broken } from "./wire-scan.js";

/** The agent's words are a guest's: at most this much of them goes into messages. */
const maxDetailsLength = 2000;

/** What grpc-js says, itself, of messages that are too long, or compressed: nobody has asked for that. */
const forbidden =
  /^Received message (larger than max|that decompresses)|^Failed to decompress|^Received (compressed message|message compressed)|^Compression method/;

/** What grpc-js says, itself, of a deadline: where in it the time went, which is nothing for who reads the message. */
const ownDeadline = /^Deadline exceeded after /;

/** Why a call has failed: what ended it from here, or the agent's status. An answer that can't be read breaks the contract. */
export function failureOf(
  scope: CallScope,
  call: string,
  error: ServiceError,
  limitMs: number | null,
  signal: AbortSignal,
): Error {
  const details = detailsOf(error);
  if (details === undefined) scope.break(broken("an answer that can't be read"));
  else if (forbidden.test(details)) scope.break(broken(printable(details).slice(0, maxDetailsLength)));
  return scope.endedBecause(signal) ?? fromStatus(call, error, limitMs);
}

/** What a failed call of the agent means. The message is kept, the stage names the call. */
export function fromStatus(call: string, error: ServiceError, limitMs: number | null): RuntimeError {
  const code = isLostConnection(error) ? "unavailable" : fromStatusCode(error.code);
  const details = printable(detailsOf(error) ?? "").slice(0, maxDetailsLength);
  // The agent answers just before the limit where it knows at which step it is.
  const untold = code === "deadlineExceeded" && limitMs !== null && (details === "" || ownDeadline.test(details));
  const message = untold ? `no answer in ${limitMs} ms` : details;
  return new RuntimeError(code, message, { stage: `agent ${call}`, cause: error });
}

/** True for what the agent has answered; false for what went wrong on the way to it. */
export function isAgentsAnswer(thrown: unknown): boolean {
  return thrown instanceof RuntimeError && isServiceError(thrown.cause);
}

/** The connection went, not the call: grpc-js says UNAVAILABLE, or what the last frame of HTTP/2 had to say. */
function isLostConnection(error: ServiceError): boolean {
  return (
    error.code === status.UNAVAILABLE || /RST_STREAM|[Cc]onnection (dropped|reset|closed)/.test(detailsOf(error) ?? "")
  );
}

export function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "details" in thrown;
}

/**
 * Undefined where grpc-js has none, whatever its types say: a message that is marked as compressed and comes without the name
 * of the compression ends a call so.
 */
function detailsOf(error: { readonly details: unknown }): string | undefined {
  return typeof error.details === "string" ? error.details : undefined;
}
