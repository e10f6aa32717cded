import { orAborted } from "../../base/or-aborted.js";
import { unlessIdle } from "./unless-idle.js";

/** As for a body of HTTP: who sends nothing for that long in the middle of a request has gone, whatever its connection says. */
export const senderIdleMs = 300_000;

/** Which messages of a stream have to come in time: each, or the one that says what is wanted. */
export type Bounded = "each" | "first";

/**
 * The same messages; one that is waited for longer than `idleMs` is an error. The time runs only while somebody waits: what
 * the receiver takes to deal with a message is not the sender's.
 */
export function sentInTime<T>(
  messages: AsyncIterator<T>,
  { idleMs, rpc, bounded }: { readonly idleMs: number; readonly rpc: string; readonly bounded: Bounded },
): AsyncIterator<T> {
  const what = `the client has sent nothing for ${String(idleMs)} ms: send what is left again, without a pause`;
  let first = true;
  return {
    next: async () => {
      if (!first && bounded === "first") return await messages.next();
      first = false;
      return await unlessIdle(idleMs, { what, stage: rpc }, (idle) => orAborted(messages.next(), idle));
    },
  };
}
