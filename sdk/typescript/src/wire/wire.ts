/** What carries calls: gRPC, or what there is of them by HTTP/1.1. */
import { status, type MethodDefinition } from "@grpc/grpc-js";

/** How a call has failed, in gRPC's words. */
export class WireError extends Error {
  readonly status: status;
  /** It has not left this process: it may be made again whatever it does. */
  readonly neverSent: boolean;

  constructor(code: status, details: string, neverSent: boolean, cause?: unknown) {
    super(details, { cause });
    this.name = "WireError";
    this.status = code;
    this.neverSent = neverSent;
  }

  /** The connection broke, or nobody answers just now. */
  get isDrop(): boolean {
    // A server that is killed, or stops, resets the streams that it has.
    const isReset = this.status === status.INTERNAL && /RST_STREAM|ECONNRESET|EPIPE/.test(this.message);
    return isReset || this.status === status.UNAVAILABLE || this.status === status.CANCELLED;
  }
}

export interface Conversation<Q, A> {
  /** False: more is welcome when `onDrain` says so. */
  write(part: Q): boolean;
  end(): void;
  cancel(): void;
  onDrain(listener: () => void): void;
  /** The call is over, whoever has ended it. */
  onOver(listener: () => void): void;
  readonly answers: AsyncIterable<A>;
}

/** Each call ends when its signal aborts, and throws a `WireError` where it fails. */
export interface Wire {
  /** It can tell of what goes on before it is over. */
  readonly streams: boolean;
  /** Resolves when the other side takes calls; else throws, at the signal's abort at the latest. */
  ready(signal: AbortSignal): Promise<void>;
  unary<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): Promise<A>;
  /** Leaving the loop ends the call. What has come is not read on before it is asked for. */
  stream<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): AsyncIterable<A>;
  /** Sends the parts as fast as the other side takes them. */
  upload<Q, A>(method: MethodDefinition<Q, A>, parts: AsyncIterable<Q>, signal: AbortSignal): Promise<A>;
  converse<Q, A>(method: MethodDefinition<Q, A>): Promise<Conversation<Q, A>>;
  close(): void;
}
