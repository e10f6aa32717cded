import { monotonicMs } from "../base/clock.js";

/** How long ago this was called. */
export function secondsSince(): () => number {
  const begunMs = monotonicMs();
  return () => (monotonicMs() - begunMs) / 1000;
}
