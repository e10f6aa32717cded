/** Every step of a container's life has its own limit; these are well above what a loaded machine needs. */

/** A whole CreateContainer; kubelet gives up after 120 s (its runtimeRequestTimeout) and asks again. */
export const createLimitMs = 110_000;
/** A whole StartContainer. */
export const startLimitMs = 100_000;
/** Small steps on the host. */
export const stepLimitMs = 20_000;
/** Making a snapshot or a session. */
export const longStepLimitMs = 60_000;
/** Each undo step: the creation's own limit may be what has passed. */
export const undoLimitMs = 30_000;
/** What a stop waits for a container to be taken up after a daemon restart. */
export const takeUpLimitMs = 10_000;
/** From SIGKILL to the recorded exit. */
export const killLimitMs = 30_000;
/** How long the output may go on after the last process has gone. */
export const drainLimitMs = 10_000;
/** The same when the Box itself has died: EXITED must show within 2 s. */
export const brokenDrainLimitMs = 1_000;
