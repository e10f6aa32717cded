import { RuntimeError } from "./errors.js";
import { currentHold, currentStep, givenUpAround, Hold, stillBusy, under, type RunningStep } from "./hold.js";
import { whyAborted } from "./signals.js";

/** How many work at a time; absent is no limit. */
export interface Limits {
  /** With one key. One: a lock. */
  readonly perKey?: number;
  readonly inAll?: number;
}

interface Turn {
  readonly hold: Hold;
  /** Where it was asked for. */
  readonly step: RunningStep | undefined;
  /** Waits as long as it takes, also for what was given up. */
  readonly patient: boolean;
  /** Aborted when somebody else wants the key. */
  readonly wanted: AbortController;
  readonly number: number;
  /** Its work has answered; what was given up in it has the place until it settles. */
  ended: boolean;
  enter: () => void;
  refuse: (reason: Error) => void;
}

/** Who works with one key, and who waits to. */
interface Line {
  readonly working: Set<Turn>;
  readonly waiting: Turn[];
}

/**
 * Limits how many work at a time, with one key and in all. Who comes first has the first turn with its key; of several keys
 * the one with which the fewest work is next. A waiter that is aborted leaves the line.
 *
 * A step that was given up keeps its place until it has settled (docs/adr/0076). Who wants a key of which nobody knows when
 * it will be free is told what it is busy with (`unavailable`), but for `runWhenFree`.
 *
 * Order of locks: sandbox before container; no lock is held while waiting for a user's process.
 */
export class Limiter<K> {
  readonly #perKey: number;
  readonly #inAll: number;
  readonly #lines = new Map<K, Line>();
  #working = 0;
  #asked = 0;

  constructor({ perKey = Number.POSITIVE_INFINITY, inAll = Number.POSITIVE_INFINITY }: Limits) {
    this.#perKey = perKey;
    this.#inAll = inAll;
  }

  /** Whoever asks now has to wait. */
  get isFull(): boolean {
    return this.#working >= this.#inAll;
  }

  async run<T>(key: K, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return await this.#run(key, signal, false, work);
  }

  /** For what has to happen at last, however long the key is held: the record of an end. */
  async runWhenFree<T>(key: K, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return await this.#run(key, signal, true, work);
  }

  /** For work that gives way: its signal is aborted as soon as somebody else wants the key. */
  async runUntilWanted<T>(key: K, signal: AbortSignal, work: (wanted: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#run(key, signal, false, work);
  }

  async #run<T>(key: K, signal: AbortSignal, patient: boolean, work: (wanted: AbortSignal) => Promise<T>): Promise<T> {
    if (signal.aborted) throw whyAborted(signal);
    const turn = this.#newTurn(patient);
    const line = this.#lines.get(key) ?? { working: new Set(), waiting: [] };
    this.#lines.set(key, line);
    if (this.#isFree(line)) this.#enter(line, turn);
    else await this.#wait(key, line, turn, signal);
    try {
      return await under(turn.hold, () => work(turn.wanted.signal));
    } finally {
      this.#leave(key, line, turn);
    }
  }

  #newTurn(patient: boolean): Turn {
    // A place among several is nobody's key: what is given up in it belongs to the key around it, too.
    const hold = new Hold(this.#perKey === 1 ? undefined : currentHold());
    const number = this.#asked++;
    return {
      ...{ hold, step: currentStep(), patient, wanted: new AbortController(), number },
      ...{ ended: false, enter: () => undefined, refuse: () => undefined },
    };
  }

  #isFree(line: Line): boolean {
    return line.working.size < this.#perKey && !this.isFull;
  }

  #enter(line: Line, turn: Turn): void {
    line.working.add(turn);
    this.#working += 1;
  }

  async #wait(key: K, line: Line, turn: Turn, signal: AbortSignal): Promise<void> {
    const busy = turn.patient ? undefined : this.#whyStuck(line);
    if (busy !== undefined) throw busy;
    for (const { wanted } of line.working) wanted.abort(givesWay());
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        line.waiting.splice(line.waiting.indexOf(turn), 1);
        this.#forgetEmpty(key, line);
        reject(waitedInVain(signal, line));
      };
      turn.enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      turn.refuse = (reason) => {
        signal.removeEventListener("abort", leave);
        reject(reason);
      };
      line.waiting.push(turn);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  #leave(key: K, line: Line, turn: Turn): void {
    if (turn.hold.isFree) {
      this.#free(key, line, turn);
      return;
    }
    turn.ended = true;
    const busy = this.#whyStuck(line);
    const waiting = line.waiting.splice(0);
    line.waiting.push(...waiting.filter(({ patient }) => patient || busy === undefined));
    if (busy !== undefined) for (const { patient, refuse } of waiting) if (!patient) refuse(busy);
    void turn.hold.freed().then(() => {
      this.#free(key, line, turn);
    });
  }

  #free(key: K, line: Line, turn: Turn): void {
    line.working.delete(turn);
    this.#working -= 1;
    this.#forgetEmpty(key, line);
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [first] = next.waiting.splice(0, 1);
      if (first === undefined) return;
      this.#enter(next, first);
      if (next.waiting.length > 0) first.wanted.abort(givesWay());
      first.enter();
    }
  }

  #forgetEmpty(key: K, { working, waiting }: Line): void {
    if (working.size === 0 && waiting.length === 0) this.#lines.delete(key);
  }

  /** The line whose first has the next turn. */
  #next(): Line | undefined {
    let best: Line | undefined;
    for (const line of this.#lines.values()) {
      if (line.waiting.length > 0 && this.#isFree(line) && (best === undefined || isBefore(line, best))) best = line;
    }
    return best;
  }

  /** What all that work with the key are busy with, where none of them is known to end. */
  #whyStuck({ working }: Line): RuntimeError | undefined {
    if (working.size < this.#perKey) return undefined;
    const stuck = [...working].map((turn) => {
      const steps = givenUpAround(turn.step);
      if (steps.length > 0) return stillBusy(steps);
      return turn.ended ? turn.hold.busy() : undefined;
    });
    return stuck.includes(undefined) ? undefined : stuck[0];
  }
}

function isBefore(one: Line, other: Line): boolean {
  if (one.working.size !== other.working.size) return one.working.size < other.working.size;
  return (one.waiting[0]?.number ?? 0) < (other.waiting[0]?.number ?? 0);
}

function givesWay(): RuntimeError {
  return new RuntimeError("canceled", "another call goes first");
}

function waitedInVain(signal: AbortSignal, { working }: Line): Error {
  const reason = whyAborted(signal);
  if (!(reason instanceof RuntimeError)) return reason;
  const [holder] = working;
  const at = holder?.step === undefined ? "" : `, which has it for: ${holder.step.name}`;
  return new RuntimeError(reason.code, `${reason.message}; waited for another call${at}`);
}
