import { status } from "@grpc/grpc-js";
import {
  AlreadyExistsError,
  AuthenticationError,
  FailedPreconditionError,
  FileNotFoundError,
  InvalidArgumentError,
  NotEnoughSpaceError,
  PermissionDeniedError,
  ProcessNotFoundError,
  QuotaError,
  SandboxError,
  SandboxNotFoundError,
  TimeoutError,
  UnavailableError,
  UnimplementedError,
  type ErrorDetail,
} from "./errors.js";
import type { WireError } from "./wire/wire.js";

/** What a call is about: a NOT_FOUND is of that, and a disk is full where files are written. */
export type Subject = "sandbox" | "process" | "file" | "port";

type ErrorClass = new (message: string, detail?: ErrorDetail) => SandboxError;

const classes: Partial<Record<status, ErrorClass>> = {
  [status.INVALID_ARGUMENT]: InvalidArgumentError,
  [status.ALREADY_EXISTS]: AlreadyExistsError,
  [status.FAILED_PRECONDITION]: FailedPreconditionError,
  [status.PERMISSION_DENIED]: PermissionDeniedError,
  [status.UNAUTHENTICATED]: AuthenticationError,
  [status.UNIMPLEMENTED]: UnimplementedError,
  [status.UNAVAILABLE]: UnavailableError,
  [status.CANCELLED]: UnavailableError,
  [status.DEADLINE_EXCEEDED]: TimeoutError,
};

const notFound: Record<Subject, ErrorClass> = {
  sandbox: SandboxNotFoundError,
  process: ProcessNotFoundError,
  file: FileNotFoundError,
  port: SandboxNotFoundError,
};

/** The error of a status, in the server's words. */
export function explained(error: WireError, subject: Subject, detail: ErrorDetail): SandboxError {
  return new (classOf(error, subject))(error.message, { ...detail, cause: error });
}

function classOf(error: WireError, subject: Subject): ErrorClass {
  if (error.status === status.NOT_FOUND) return notFound[subject];
  if (error.status === status.RESOURCE_EXHAUSTED) return subject === "file" ? NotEnoughSpaceError : QuotaError;
  if (error.isDrop) return UnavailableError;
  return classes[error.status] ?? SandboxError;
}
