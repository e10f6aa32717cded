import { status } from "@grpc/grpc-js";
import { codeOf, messageOf, type ErrorCode } from "../base/errors.js";

const statusOf = {
  invalidArgument: status.INVALID_ARGUMENT,
  notFound: status.NOT_FOUND,
  alreadyExists: status.ALREADY_EXISTS,
  failedPrecondition: status.FAILED_PRECONDITION,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  deadlineExceeded: status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  permissionDenied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  unimplemented: status.UNIMPLEMENTED,
  brokenContract: status.INTERNAL,
  unknown: status.UNKNOWN,
  internal: status.INTERNAL,
} satisfies Record<ErrorCode, status>;

/** What a status of another's means. UNKNOWN and INTERNAL tell no more than that it has failed. */
const codeOfStatus: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: "invalidArgument",
  [status.NOT_FOUND]: "notFound",
  [status.ALREADY_EXISTS]: "alreadyExists",
  [status.FAILED_PRECONDITION]: "failedPrecondition",
  [status.RESOURCE_EXHAUSTED]: "resourceExhausted",
  [status.UNAVAILABLE]: "unavailable",
  [status.DEADLINE_EXCEEDED]: "deadlineExceeded",
  [status.CANCELLED]: "canceled",
  [status.PERMISSION_DENIED]: "permissionDenied",
  [status.UNAUTHENTICATED]: "unauthenticated",
  [status.UNIMPLEMENTED]: "unimplemented",
  // The agent ends a stream with ABORTED when another reader has taken its place.
  [status.ABORTED]: "failedPrecondition",
};

/** Longest status text: it travels as a header, and kubelet puts it into events. */
const longestDetails = 4096;

export interface Status {
  readonly code: status;
  readonly details: string;
}

/** "NOT_FOUND". */
export function statusName(code: status): string {
  return status[code];
}

/** The way back: what a failed call has to say to whoever made it. */
export function fromStatusCode(code: status): ErrorCode {
  return codeOfStatus[code] ?? "internal";
}

/** The one place where what was thrown becomes a gRPC status. */
export function toStatus(thrown: unknown): Status {
  const text = messageOf(thrown);
  const details = text.length > longestDetails ? `${text.slice(0, longestDetails)}…` : text;
  return { code: statusOf[codeOf(thrown)], details };
}
