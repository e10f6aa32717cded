/**
 * Steps that were given up. Whoever waited has its answer; the step itself can't be ended (a system call on a file system
 * that is dead), and holds the key under which it was begun until it has settled: nobody builds over it (docs/adr/0076).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { monotonicMs } from "./clock.js";
import { messageOf, RuntimeError } from "./errors.js";

/** A stage under way, in those that it is a part of. */
export interface RunningStep {
  readonly name: string;
  readonly beganMs: number;
  readonly outer: RunningStep | undefined;
  readonly depth: number;
  givenUp: boolean;
}

/** What was given up, or has settled late at last. */
export interface LateStep {
  readonly name: string;
  /** Since it began. */
  readonly ms: number;
  /** "given up" while it goes on; what became of it once it has settled. */
  readonly outcome: "given up" | "done" | "failed";
  readonly err?: string;
}

interface Place {
  readonly hold: Hold | undefined;
  readonly step: RunningStep | undefined;
}

/** Follows the work through its awaits, so that no step has to be told whose it is. */
const places = new AsyncLocalStorage<Place>();
const lateSteps = new Set<RunningStep>();
let tell: (late: LateStep) => void = () => undefined;

/** Who is told of each step that is given up, and again when it has settled: the daemon's log. */
export function tellLateSteps(listener: (late: LateStep) => void): void {
  tell = listener;
}

/** All that was given up and goes on, in words; empty when nothing does. */
export function lateStepsNow(): string[] {
  return [...lateSteps].map(inWords);
}

/** A settling undo is waited for this long before what can be undone at once is: most steps end soon after their signal. */
const settleMs = 3_000;

/** What keeps one key from being used again. */
export class Hold {
  readonly #steps = new Map<RunningStep, Promise<void>>();
  readonly #undos: (() => Promise<void>)[] = [];
  readonly #outer: Hold | undefined;
  #undoing: Promise<void> | undefined;

  /** `outer`: also keeps what this one does. */
  constructor(outer?: Hold) {
    this.#outer = outer;
  }

  /** Whether nothing that was begun under the key goes on behind its caller's back. */
  get isFree(): boolean {
    return this.#steps.size === 0 && this.#undoing === undefined;
  }

  /** Resolves when it is free. */
  async freed(): Promise<void> {
    while (!this.isFree) await Promise.all([...this.#steps.values(), this.#undoing]);
  }

  /** For who wants the key meanwhile: to wait would be to wait for what nobody can end. */
  busy(): RuntimeError {
    return stillBusy([...this.#steps.keys()]);
  }

  keep(step: RunningStep, end: Promise<void>): void {
    const kept = end.finally(() => this.#steps.delete(step));
    this.#steps.set(step, kept);
    this.#outer?.keep(step, end);
  }

  /**
   * Undoes without its caller: what was made is taken back soon, and once more when the last given-up step has settled,
   * which may have made something after all. Undos run in the order in which they come.
   */
  undoLater(undo: () => Promise<void>): void {
    this.#undos.push(undo);
    this.#undoing ??= places.run({ hold: this, step: undefined }, () => this.#undoAll());
  }

  /**
   * Undoes without its caller, once, when what was given up has settled: for what would only hang where that hangs, and
   * take one more thread.
   */
  undoAfter(undo: () => Promise<void>): void {
    const work = onItsOwn(() => under(this, () => this.#stepsSettled().then(undo)));
    this.keep(
      { name: "take back what was made", beganMs: monotonicMs(), outer: undefined, depth: 0, givenUp: true },
      work.catch(() => undefined),
    );
  }

  async #undoAll(): Promise<void> {
    await this.#stepsSettled(settleMs);
    for (let again = true; again;) {
      again = this.#steps.size > 0;
      for (const undo of this.#undos) await undo();
      again ||= this.#steps.size > 0; // of the undos themselves
      await this.#stepsSettled();
    }
    this.#undos.length = 0;
    this.#undoing = undefined;
  }

  async #stepsSettled(limitMs?: number): Promise<void> {
    const settled = Promise.all(this.#steps.values());
    if (limitMs === undefined) {
      await settled;
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([settled, limit]);
    clearTimeout(timer);
  }
}

/** Runs work under a key. */
export function under<T>(hold: Hold, work: () => Promise<T>): Promise<T> {
  return places.run({ hold, step: places.getStore()?.step }, work);
}

/** Runs work that is nobody's in particular: others may join it, or it outlives who began it. */
export function onItsOwn<T>(work: () => T): T {
  return places.run({ hold: undefined, step: undefined }, work);
}

export function currentHold(): Hold | undefined {
  return places.getStore()?.hold;
}

export function currentStep(): RunningStep | undefined {
  return places.getStore()?.step;
}

/** The steps around a place that were given up, innermost first. */
export function givenUpAround(step: RunningStep | undefined): RunningStep[] {
  const found: RunningStep[] = [];
  for (let at = step; at !== undefined; at = at.outer) if (at.givenUp) found.push(at);
  return found;
}

export function stillBusy(steps: readonly RunningStep[]): RuntimeError {
  const what = steps.length === 0 ? "taking back what was made" : steps.map(inWords).join(", ");
  return new RuntimeError("unavailable", `still busy with: ${what}`, {
    hint: "it was given up and can't be ended; the next try succeeds once it has settled",
  });
}

function inWords({ name, beganMs }: RunningStep): string {
  return `${name} since ${Math.round((monotonicMs() - beganMs) / 1000)} s`;
}

/** A step in the present place. */
export function beginStep(name: string): RunningStep {
  const outer = currentStep();
  return { name, beganMs: monotonicMs(), outer, depth: outer === undefined ? 0 : outer.depth + 1, givenUp: false };
}

export function inStep<T>(step: RunningStep, work: () => Promise<T>): Promise<T> {
  return places.run({ hold: currentHold(), step }, work);
}

/**
 * True when work settles before the signal is aborted, or so soon after that it is its answer to it. It goes on when this
 * is false: `giveUp` it then.
 */
export function settlesInTime(work: Promise<unknown>, signal: AbortSignal, graceMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const aborted = (): void => {
      // What has come while the event loop was busy is heard first.
      timer = setTimeout(() => setImmediate(resolve, false), graceMs);
    };
    const settled = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      resolve(true);
    };
    work.then(settled, settled);
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}

/** The step's caller gets its answer; the step is named, and kept by whatever holds it. `takeBack`: of a result that comes late. */
export function giveUp<T>(step: RunningStep, work: Promise<T>, takeBack?: (late: T) => Promise<unknown>): void {
  step.givenUp = true;
  lateSteps.add(step);
  tell({ name: step.name, ms: msOf(step), outcome: "given up" });
  const end = work
    .then(async (late) => {
      await takeBack?.(late);
    })
    .then(
      () => {
        tell({ name: step.name, ms: msOf(step), outcome: "done" });
      },
      (thrown: unknown) => {
        tell({ name: step.name, ms: msOf(step), outcome: "failed", err: messageOf(thrown) });
      },
    )
    .finally(() => lateSteps.delete(step));
  currentHold()?.keep(step, end);
}

function msOf({ beganMs }: RunningStep): number {
  return Math.round(monotonicMs() - beganMs);
}
