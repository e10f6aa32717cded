/** What goes wrong, as classes with a code. Names are E2B's where E2B has one. */

export type ErrorCode =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "resource_exhausted"
  | "permission_denied"
  | "unauthenticated"
  | "unimplemented"
  | "unavailable"
  | "deadline_exceeded"
  | "command_exit"
  | "internal";

export interface ErrorDetail {
  /** The step that failed: "commands.run". Comes first in the message. */
  readonly stage?: string | undefined;
  /** The sandbox it was about. */
  readonly sandboxId?: string | undefined;
  readonly cause?: unknown;
}

/** Of all errors of this package. Its message says at which step, of which sandbox, what, and what to do. */
export class SandboxError extends Error {
  static readonly code: ErrorCode = "internal";
  readonly code: ErrorCode;
  readonly stage: string | undefined;
  readonly sandboxId: string | undefined;

  constructor(message: string, { stage, sandboxId, cause }: ErrorDetail = {}) {
    const about = sandboxId === undefined ? "" : ` [sandbox ${sandboxId}]`;
    super(stage === undefined ? message : `${stage}${about}: ${message}`, { cause });
    this.name = new.target.name;
    this.code = new.target.code;
    this.stage = stage;
    this.sandboxId = sandboxId;
  }
}

/** What was asked for makes no sense; repeating it can't help. */
export class InvalidArgumentError extends SandboxError {
  static override readonly code: ErrorCode = "invalid_argument";
}

/** What was named is not there. */
export class NotFoundError extends SandboxError {
  static override readonly code: ErrorCode = "not_found";
}

/** The sandbox has ended, or never was, or is somebody else's. */
export class SandboxNotFoundError extends NotFoundError {}

export class FileNotFoundError extends NotFoundError {}

/** There is no such process, or no such program. */
export class ProcessNotFoundError extends NotFoundError {}

export class AlreadyExistsError extends SandboxError {
  static override readonly code: ErrorCode = "already_exists";
}

/** Legal, but not in this state: a directory that is not empty, input to a program that takes none, a port nobody listens at. */
export class FailedPreconditionError extends SandboxError {
  static override readonly code: ErrorCode = "failed_precondition";
}

/** E2B's name for a limit of the service. */
export class RateLimitError extends SandboxError {
  static override readonly code: ErrorCode = "resource_exhausted";
}

/** A quota of the tenant, or a limit of the sandbox, is used up. */
export class QuotaError extends RateLimitError {}

/** The sandbox's disk is full. */
export class NotEnoughSpaceError extends SandboxError {
  static override readonly code: ErrorCode = "resource_exhausted";
}

/** It is known who calls, who may not; or the sandbox's kernel says so of its user. */
export class PermissionDeniedError extends SandboxError {
  static override readonly code: ErrorCode = "permission_denied";
}

/** It is not known who calls: there is no token, or it is nobody's. */
export class AuthenticationError extends SandboxError {
  static override readonly code: ErrorCode = "unauthenticated";
}

/** The runtime can't do that; its words say why. */
export class UnimplementedError extends SandboxError {
  static override readonly code: ErrorCode = "unimplemented";
}

/** The runtime can't be reached, or something that it needs; repeating may help. */
export class UnavailableError extends SandboxError {
  static override readonly code: ErrorCode = "unavailable";
}

/** A time limit has passed: that of a call, or that of a command. */
export class TimeoutError extends SandboxError {
  static override readonly code: ErrorCode = "deadline_exceeded";
}

export interface CommandResult {
  /** -1: a signal has ended it. */
  readonly exitCode: number;
  /** "exit status 3", "signal: killed"; absent after success. */
  readonly error?: string;
  readonly stdout: string;
  readonly stderr: string;
  /** The signal that has ended it. */
  readonly signal?: number;
  /** Output that the runtime had no room for and nobody had read; 0 unless the reader was 16 MiB behind. */
  readonly lostBytes: number;
}

/** A command has ended with another status than 0. */
export class CommandExitError extends SandboxError implements CommandResult {
  static override readonly code: ErrorCode = "command_exit";
  readonly exitCode: number;
  readonly error: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly signal?: number;
  readonly lostBytes: number;

  constructor(result: CommandResult, detail: ErrorDetail = {}) {
    const error = result.error ?? `exit status ${result.exitCode}`;
    super(error, detail);
    this.exitCode = result.exitCode;
    this.error = error;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    this.lostBytes = result.lostBytes;
    if (result.signal !== undefined) this.signal = result.signal;
  }
}
