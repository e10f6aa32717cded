/** What the pool does next, from what is there now. Pure. */
import { nameOf, type PoolClass } from "./pool-class.js";

/** So that a pod that has just got a Box has its first container by then: a boot beside it would slow it down. */
export const afterClaimMs = 2_500;
/** After a Box that could not be made; doubles each time. */
const backOffMs = { first: 1_000, longest: 60_000 };
/** When nothing is to be done, or there is no memory for it. */
const lookAgainMs = 5_000;
/** Creations under way end without telling how long they take. */
const busyMs = 250;
/** What an idle Box of any size takes of the host, with what serves it (`npm run bench -- overhead`). */
export const boxMib = 256;

export interface PoolSight {
  readonly nowMs: number;
  readonly classes: readonly PoolClass[];
  /** Of each class, by its name: ready, being made, being looked at. */
  readonly there: ReadonlyMap<string, number>;
  /** When the last Box was taken. */
  readonly takenMs: number;
  /** Pods are being made. */
  readonly isBusy: boolean;
  readonly availableMib: number;
  readonly leastFreeMib: number;
  /** By the names of classes: one of which none can be made keeps no other from its Boxes. */
  readonly backOffs: ReadonlyMap<string, BackOff>;
}

export type PoolAct =
  | { readonly do: "fill"; readonly of: PoolClass }
  /** One goes, so that the host has memory again. */
  | { readonly do: "shed" }
  | { readonly do: "wait"; readonly ms: number; readonly for?: "memory" };

/** After each Box of a class that could not be made the next one of that class waits longer. */
export interface BackOff {
  readonly ms: number;
  readonly untilMs: number;
}

export function longerBackOff(before: BackOff | undefined, nowMs: number): BackOff {
  const ms = before === undefined ? backOffMs.first : Math.min(before.ms * 2, backOffMs.longest);
  return { ms, untilMs: nowMs + ms };
}

export function nextAct(sight: PoolSight): PoolAct {
  const { nowMs, classes, there, takenMs, availableMib, leastFreeMib, backOffs } = sight;
  const has = (of: PoolClass): number => there.get(nameOf(of)) ?? 0;
  if (availableMib < leastFreeMib && classes.some((of) => has(of) > 0)) return { do: "shed" };
  const lacking = classes.filter((one) => has(one) < one.count).sort((a, b) => has(a) / a.count - has(b) / b.count);
  if (lacking.length === 0) return { do: "wait", ms: lookAgainMs };
  const untilMs = (of: PoolClass): number => backOffs.get(nameOf(of))?.untilMs ?? Number.NEGATIVE_INFINITY;
  const of = lacking.find((one) => untilMs(one) <= nowMs);
  const begunMs = Math.max(takenMs + afterClaimMs, of === undefined ? Math.min(...lacking.map(untilMs)) : nowMs);
  if (of === undefined || begunMs > nowMs) return { do: "wait", ms: begunMs - nowMs };
  if (sight.isBusy) return { do: "wait", ms: busyMs };
  if (availableMib - boxMib < leastFreeMib) return { do: "wait", ms: lookAgainMs, for: "memory" };
  return { do: "fill", of };
}
