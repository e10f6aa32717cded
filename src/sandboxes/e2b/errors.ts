/** Errors of the core in E2B's two forms: `{code: number}` of its REST, `{code: "words"}` of Connect. */
import { messageOf, RuntimeError, type ErrorCode } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";

export type ConnectCode =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "resource_exhausted"
  | "unavailable"
  | "deadline_exceeded"
  | "canceled"
  | "permission_denied"
  | "unauthenticated"
  | "unimplemented"
  | "unknown"
  | "internal";

interface Forms {
  readonly status: number;
  readonly connect: ConnectCode;
}

const forms: Readonly<Record<ErrorCode, Forms>> = {
  invalidArgument: { status: 400, connect: "invalid_argument" },
  notFound: { status: 404, connect: "not_found" },
  alreadyExists: { status: 409, connect: "already_exists" },
  failedPrecondition: { status: 409, connect: "failed_precondition" },
  resourceExhausted: { status: 429, connect: "resource_exhausted" },
  unavailable: { status: 503, connect: "unavailable" },
  deadlineExceeded: { status: 504, connect: "deadline_exceeded" },
  canceled: { status: 499, connect: "canceled" },
  permissionDenied: { status: 403, connect: "permission_denied" },
  unauthenticated: { status: 401, connect: "unauthenticated" },
  unimplemented: { status: 501, connect: "unimplemented" },
  brokenContract: { status: 500, connect: "internal" },
  unknown: { status: 500, connect: "unknown" },
  internal: { status: 500, connect: "internal" },
};

/** Of Connect's own table: the status that goes with a code in a unary answer. */
export const connectStatus: Readonly<Record<ConnectCode, number>> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 400,
  resource_exhausted: 429,
  unavailable: 503,
  deadline_exceeded: 504,
  canceled: 499,
  permission_denied: 403,
  unauthenticated: 401,
  unimplemented: 501,
  unknown: 500,
  internal: 500,
};

const mostMessage = 2000;

export interface RestError {
  readonly code: number;
  readonly message: string;
}

export interface ConnectError {
  readonly code: ConnectCode;
  readonly message: string;
}

/** For a status that no code of the core stands for. */
export class RestFailure extends RuntimeError {
  readonly status: number;

  constructor(status: number, message: string, code: ErrorCode = "failedPrecondition") {
    super(code, message);
    this.status = status;
  }
}

export function restError(thrown: unknown, log: Logger): RestError {
  if (thrown instanceof RestFailure) return { code: thrown.status, message: thrown.message };
  const { code, message } = told(thrown, log);
  return { code: forms[code].status, message };
}

export function connectError(thrown: unknown, log: Logger): ConnectError {
  const { code, message } = told(thrown, log);
  return { code: forms[code].connect, message };
}

/** What went wrong in our own house is for its log: a message of a bug may say anything. */
function told(thrown: unknown, log: Logger): { code: ErrorCode; message: string } {
  if (thrown instanceof RuntimeError && thrown.code !== "internal" && thrown.code !== "brokenContract") {
    return { code: thrown.code, message: thrown.message.slice(0, mostMessage) };
  }
  log.error({ error: messageOf(thrown) }, "a call of E2B's protocol failed");
  return { code: "internal", message: "something failed in the runtime; its log says what" };
}
