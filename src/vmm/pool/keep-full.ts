import { messageOf } from "../../base/errors.js";
import { nowNs } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import { anyOf } from "../../base/signals.js";
import { sleep } from "../../base/stage.js";
import { availableMib } from "./available-memory.js";
import type { Entries, Entry } from "./entries.js";
import { longerBackOff, nextAct, type BackOff, type PoolAct } from "./next-act.js";
import { nameOf, type PoolClass } from "./pool-class.js";

/** An older Box goes, and another takes its place: what has piled up in it, on either side, is not known. */
const greatestAgeNs = 3_600_000_000_000n;
/** After something that nobody has thought of, and where nothing can be done about a lack of memory. */
const troubleMs = 10_000;

export interface Keeping {
  readonly log: Logger;
  readonly leastFreeMib: number;
  readonly classes: readonly PoolClass[];
  readonly entries: Entries;
  readonly closing: AbortSignal;
  readonly isBusy: () => boolean;
  readonly takenMs: () => number;
  /** Told why a Box of a class could not be made; undefined: one was. */
  readonly failed: (of: PoolClass, why: string | undefined) => void;
  readonly fill: (of: PoolClass) => Promise<void>;
  readonly takeAway: (entry: Entry) => Promise<void>;
  /** Aborts when it may be worth to look again. */
  readonly woken: () => AbortSignal;
}

/** Keeps a pool full, one step after the other, until the daemon ends. */
export async function keepFull(keeping: Keeping): Promise<void> {
  const { closing, log } = keeping;
  const backOffs = new Map<string, BackOff>();
  let isShort = false;
  while (!closing.aborted) {
    const woken = keeping.woken();
    let restMs = troubleMs;
    try {
      await takeOldAway(keeping);
      const act = await next(keeping, backOffs);
      if (act.do === "fill") await fill(keeping, act.of, backOffs);
      const isStuck = act.do === "shed" && !(await shed(keeping));
      const lacks = act.do === "wait" && act.for === "memory";
      if (lacks && !isShort) {
        log.warn({ leastFreeMib: keeping.leastFreeMib }, "the host is short of memory; no Box is made ready");
      }
      isShort = lacks;
      restMs = act.do === "wait" ? act.ms : isStuck ? troubleMs : 0;
    } catch (thrown) {
      log.error({ err: messageOf(thrown) }, "the pool of ready Boxes is in trouble");
    }
    if (restMs > 0) await sleep(restMs, anyOf(closing, woken)).catch(() => undefined);
  }
}

async function next(
  { classes, entries, leastFreeMib, isBusy, takenMs }: Keeping,
  backOffs: ReadonlyMap<string, BackOff>,
): Promise<PoolAct> {
  const there = new Map(classes.map((of) => [nameOf(of), entries.placesOf(of)]));
  const sight = {
    nowMs: performance.now(),
    classes,
    there,
    takenMs: takenMs(),
    isBusy: isBusy(),
    leastFreeMib,
    backOffs,
  };
  return nextAct({ ...sight, availableMib: await availableMib() });
}

async function fill(
  { fill: make, failed, closing, log }: Keeping,
  of: PoolClass,
  backOffs: Map<string, BackOff>,
): Promise<void> {
  const name = nameOf(of);
  const beganMs = performance.now();
  try {
    await make(of);
    log.info({ of: name, ms: Math.round(performance.now() - beganMs) }, "a Box is ready for a pod");
    failed(of, undefined);
    backOffs.delete(name);
  } catch (thrown) {
    if (closing.aborted) return;
    const longer = longerBackOff(backOffs.get(name), performance.now());
    backOffs.set(name, longer);
    log.warn({ of: name, err: messageOf(thrown), againMs: longer.ms }, "no Box could be made ready");
    failed(of, messageOf(thrown));
  }
}

/** The oldest: it has waited in vain for longest. False where none is ready. */
async function shed({ entries, takeAway, log }: Keeping): Promise<boolean> {
  const entry = entries.all().find(({ state }) => state === "ready");
  if (entry === undefined) return false;
  log.warn({ sandboxId: entry.id, of: nameOf(entry.of) }, "the host is short of memory; a ready Box goes");
  await takeAway(entry);
  return true;
}

/** One that can't be taken away keeps its own place, and no other's; it is tried again. */
async function takeOldAway({ entries, takeAway, log }: Keeping): Promise<void> {
  const bornNs = nowNs() - greatestAgeNs;
  for (const entry of entries.all()) {
    const isOld = entry.state === "ready" && entry.sinceNs < bornNs;
    if (isOld) log.info({ sandboxId: entry.id }, "a ready Box is too old and goes");
    if (!isOld && entry.state !== "going") continue;
    if (entry.leaving !== undefined) continue; // whatever it hangs in keeps no other from its turn
    try {
      await takeAway(entry);
    } catch (thrown) {
      log.error({ sandboxId: entry.id, err: messageOf(thrown) }, "a ready Box could not be taken away");
    }
  }
}
