import { RuntimeError } from "../../base/errors.js";

/**
 * What a client is waited for, for at most `idleMs`; undefined: as long as its connection is thought alive. The signal ends the
 * wait, and `what` the client has not done says why: `deadlineExceeded`.
 */
export async function unlessIdle<T>(
  idleMs: number | undefined,
  { what, stage }: { readonly what: string; readonly stage?: string },
  wait: (idle: AbortSignal) => Promise<T>,
): Promise<T> {
  const idle = new AbortController();
  const giveUp = (): void => {
    idle.abort(new RuntimeError("deadlineExceeded", what, stage === undefined ? {} : { stage }));
  };
  const timer = idleMs === undefined ? undefined : setTimeout(giveUp, idleMs);
  try {
    return await wait(idle.signal);
  } catch (thrown) {
    throw idle.signal.aborted ? idle.signal.reason : thrown;
  } finally {
    clearTimeout(timer);
  }
}
