import { parseObject, textAt } from "./json.js";

/** What the API server has refused, or why it was not asked. */
export class KubeError extends Error {
  /** Of HTTP; 0 where there was no answer. */
  readonly status: number;
  /** The API's word for it ("NotFound", "Conflict", "Invalid"), or one of ours where there was no answer. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "KubeError";
    this.status = status;
    this.reason = reason;
  }
}

export function refusalOf(status: number, what: string, text: string): KubeError {
  let reason = `Status${String(status)}`;
  let message = text.slice(0, 500);
  try {
    const said = parseObject(text);
    reason = textAt(said, "reason") ?? reason;
    message = textAt(said, "message") ?? message;
  } catch {
    // Something before the API server has answered: its text says what.
  }
  return new KubeError(status, reason, `${what}: ${message}`);
}

export function isReason(thrown: unknown, reason: string): thrown is KubeError {
  return thrown instanceof KubeError && thrown.reason === reason;
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
