/**
 * What went wrong, in our own words. gRPC statuses are made from these codes in one place, `grpc/status.ts`.
 *
 * - `invalidArgument`: the request or the config is wrong; repeating it can't help.
 * - `notFound`: the sandbox, container, image or file named does not exist.
 * - `alreadyExists`: the name is taken by something the caller can see.
 * - `failedPrecondition`: legal, but not in the present state.
 * - `resourceExhausted`: a limit, a quota or the disk is full.
 * - `unavailable`: something we depend on can't be reached now; repeating may help.
 * - `deadlineExceeded`: a step took longer than its limit.
 * - `canceled`: the caller gave up.
 * - `permissionDenied`: the caller is known, and may not; or the kernel says so of the user in a sandbox.
 * - `unauthenticated`: who calls is not known, and has to be.
 * - `unimplemented`: not built, with the reason.
 * - `brokenContract`: a guest's agent sent what its contract forbids; its Box is ended.
 * - `unknown`: a failure whose message the caller must see without a prefix (kubelet's image pull reasons).
 * - `internal`: everything else.
 */
export type ErrorCode =
  | "invalidArgument"
  | "notFound"
  | "alreadyExists"
  | "failedPrecondition"
  | "resourceExhausted"
  | "unavailable"
  | "deadlineExceeded"
  | "canceled"
  | "permissionDenied"
  | "unauthenticated"
  | "unimplemented"
  | "brokenContract"
  | "unknown"
  | "internal";

export interface ErrorDetail {
  /** The step that failed: "wait for agent". Comes first in the message. */
  readonly stage?: string;
  /** What to do about it; comes last, in brackets. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error class. A situation is a code, a stage and a message; there are no subclasses. */
export class RuntimeError extends Error {
  override readonly name = "RuntimeError";
  readonly code: ErrorCode;
  readonly stage: string | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    const stage = detail.stage === undefined ? "" : `${detail.stage}: `;
    const hint = detail.hint === undefined ? "" : ` (${detail.hint})`;
    super(`${stage}${message}${hint}`, { cause: detail.cause });
    this.code = code;
    this.stage = detail.stage;
  }
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The code of anything thrown: ours where it is one of ours, else `internal`. */
export function codeOf(thrown: unknown): ErrorCode {
  return thrown instanceof RuntimeError ? thrown.code : "internal";
}

/** Puts a step's name before the message of whatever it threw, and keeps the code. */
export function inStage(stage: string, thrown: unknown): RuntimeError {
  return new RuntimeError(codeOf(thrown), messageOf(thrown), { stage, cause: thrown });
}

/** The errno name of a Node or addon error ("ENOENT"), or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" && /^E[A-Z0-9]+$/.test(thrown.code) ? thrown.code : undefined;
}

export function isNotFound(thrown: unknown): boolean {
  return errnoOf(thrown) === "ENOENT";
}

/** Guards the end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new RuntimeError("internal", `unexpected value ${JSON.stringify(value)}`);
}
