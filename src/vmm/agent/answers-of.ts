import type { ClientReadableStream } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import type { CallScope } from "./call-scope.js";
import { messagesOf } from "./messages-of.js";
import { failureOf, isServiceError } from "./status.js";

export interface StreamLimits {
  /** Name for messages: "read file". */
  readonly name: string;
  /** Longest wait for one message; null: as long as the signal lets it. How long the reader takes does not count. */
  readonly stallMs: number | null;
}

/** The answers of a call to its end. Whoever leaves before it cancels the call. */
export async function* answersOf<Res>(
  scope: CallScope,
  { name, stallMs }: StreamLimits,
  signal: AbortSignal,
  open: () => ClientReadableStream<Res>,
): AsyncGenerator<Res, void> {
  scope.throwIfShut();
  signal.throwIfAborted();
  const call = open();
  const cancel = (): void => {
    call.cancel();
  };
  const stall = new AbortController();
  const onStall = (): void => {
    stall.abort();
    cancel();
  };
  scope.add(call);
  signal.addEventListener("abort", cancel, { once: true });
  const messages = messagesOf<never, Res>(call);
  try {
    for (;;) {
      const timer = stallMs === null ? undefined : setTimeout(onStall, stallMs);
      const next = await messages.next().finally(() => {
        clearTimeout(timer);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } catch (thrown) {
    if (stall.signal.aborted) {
      throw new RuntimeError("deadlineExceeded", `nothing came in ${String(stallMs)} ms`, { stage: `agent ${name}` });
    }
    if (isServiceError(thrown)) throw failureOf(scope, name, thrown, null, signal);
    throw scope.endedBecause(signal) ?? thrown;
  } finally {
    scope.delete(call);
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
