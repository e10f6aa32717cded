import { setMaxListeners } from "node:events";
import { RuntimeError } from "./errors.js";

/** Of what nobody gives up. Everybody waits with the same one: many listeners are no leak. */
export const neverAborted: AbortSignal = new AbortController().signal;
setMaxListeners(0, neverAborted);

/** The sources of each signal, for as long as that signal is in use. */
const sourcesOf = new WeakMap<AbortSignal, readonly AbortSignal[]>();

/**
 * Aborts when one of them does. `AbortSignal.any` alone holds its sources weakly: in Node 20 one that nobody else holds,
 * such as `AbortSignal.timeout(…)` written in its arguments, is collected, and its time then never passes.
 */
export function anyOf(...signals: readonly AbortSignal[]): AbortSignal {
  const any = AbortSignal.any([...signals]);
  sourcesOf.set(any, signals);
  return any;
}

/** What to throw when a signal is aborted: its reason, where somebody has given one. */
export function whyAborted(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  if (reason instanceof Error && reason.name !== "AbortError") return reason;
  return new RuntimeError("canceled", "the caller gave up", { cause: reason });
}
