import { once, type EventEmitter } from "node:events";
import { RuntimeError } from "../../base/errors.js";
import { anyOf } from "../../base/signals.js";

/** Who takes no byte of a file for that long has gone, whatever its connection says: the file holds a process of the guest. */
export const readerIdleMs = 120_000;

/** Resolves when a stream that was full has room again. `idleMs` undefined: for as long as its connection is thought alive. */
export async function drained(stream: EventEmitter, idleMs: number | undefined, signal: AbortSignal): Promise<void> {
  const idle = new AbortController();
  const giveUp = (): void => {
    idle.abort(new RuntimeError("deadlineExceeded", `the client has read nothing for ${String(idleMs)} ms`));
  };
  const timer = idleMs === undefined ? undefined : setTimeout(giveUp, idleMs);
  try {
    await once(stream, "drain", { signal: anyOf(signal, idle.signal) });
  } catch (thrown) {
    throw idle.signal.aborted ? idle.signal.reason : thrown;
  } finally {
    clearTimeout(timer);
  }
}
