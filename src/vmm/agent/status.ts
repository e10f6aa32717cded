import { status, type ServiceError } from "@grpc/grpc-js";
import { RuntimeError, type ErrorCode } from "../../base/errors.js";
import { printable } from "../console.js";

/** The agent's words are a guest's: at most this much of them goes into messages. */
const maxDetailsLength = 2000;

const codeOfStatus: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: "invalidArgument",
  [status.NOT_FOUND]: "notFound",
  [status.ALREADY_EXISTS]: "alreadyExists",
  [status.FAILED_PRECONDITION]: "failedPrecondition",
  [status.RESOURCE_EXHAUSTED]: "resourceExhausted",
  [status.UNAVAILABLE]: "unavailable",
  [status.DEADLINE_EXCEEDED]: "deadlineExceeded",
  [status.CANCELLED]: "canceled",
  [status.UNIMPLEMENTED]: "unimplemented",
  // The agent ends a stream with ABORTED when another reader has taken its place.
  [status.ABORTED]: "failedPrecondition",
};

/** What a failed call of the agent means. The message is kept, the stage names the call. */
export function fromStatus(call: string, error: ServiceError, limitMs: number | null): RuntimeError {
  const code = isLostConnection(error) ? "unavailable" : (codeOfStatus[error.code] ?? "internal");
  const details = printable(error.details).slice(0, maxDetailsLength);
  const limit = code === "deadlineExceeded" && limitMs !== null ? `no answer in ${limitMs} ms; ` : "";
  return new RuntimeError(code, `${limit}${details}`, { stage: `agent ${call}`, cause: error });
}

/** True for what the agent has answered; false for what went wrong on the way to it. */
export function isAgentsAnswer(thrown: unknown): boolean {
  return thrown instanceof RuntimeError && isServiceError(thrown.cause);
}

/** The connection went, not the call: grpc-js says UNAVAILABLE, or what the last frame of HTTP/2 had to say. */
function isLostConnection(error: ServiceError): boolean {
  return error.code === status.UNAVAILABLE || /RST_STREAM|[Cc]onnection (dropped|reset|closed)/.test(error.details);
}

export function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "details" in thrown && typeof thrown.details === "string";
}
