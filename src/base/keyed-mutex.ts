import { currentStep, givenUpAround, Hold, stillBusy, under, type RunningStep } from "./hold.js";
import { RuntimeError } from "./errors.js";

interface Turn {
  readonly hold: Hold;
  /** Where the key was asked for. */
  readonly step: RunningStep | undefined;
  /** Waits as long as it takes, also for what was given up. */
  readonly patient: boolean;
  /** Aborted when somebody else wants the key. */
  readonly wanted: AbortController;
  readonly enter: () => void;
  readonly refuse: (reason: Error) => void;
}

/** Who has the key, and who is next. */
interface Line {
  holder: Turn;
  readonly waiting: Turn[];
}

/**
 * One writer per key. Order of locks: sandbox before container; no lock is held while waiting for a user's process.
 *
 * A step that was given up keeps its key until it has settled. Who asks for the key meanwhile is told what it is busy with
 * (`unavailable`), but for `runWhenFree`. A waiter that is aborted leaves the line.
 */
export class KeyedMutex<K> {
  readonly #lines = new Map<K, Line>();

  async run<T>(key: K, signal: AbortSignal, critical: () => Promise<T>): Promise<T> {
    return await this.#run(key, signal, false, critical);
  }

  /** For what has to happen at last, however long the key is held: the record of an end. */
  async runWhenFree<T>(key: K, signal: AbortSignal, critical: () => Promise<T>): Promise<T> {
    return await this.#run(key, signal, true, critical);
  }

  /** For work that gives way: its signal is aborted as soon as somebody else wants the key. */
  async runUntilWanted<T>(key: K, signal: AbortSignal, critical: (wanted: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#run(key, signal, false, critical);
  }

  async #run<T>(
    key: K,
    signal: AbortSignal,
    patient: boolean,
    critical: (wanted: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const turn = await this.#turn(key, signal, patient);
    try {
      return await under(turn.hold, () => critical(turn.wanted.signal));
    } finally {
      this.#leave(key, turn);
    }
  }

  async #turn(key: K, signal: AbortSignal, patient: boolean): Promise<Turn> {
    const line = this.#lines.get(key);
    const facts = { hold: new Hold(), step: currentStep(), patient, wanted: new AbortController() };
    if (line === undefined) {
      const turn = { ...facts, enter: ignore, refuse: ignore };
      this.#lines.set(key, { holder: turn, waiting: [] });
      return turn;
    }
    const stuck = givenUpAround(line.holder.step);
    if (!patient && stuck.length > 0) throw stillBusy(stuck);
    if (!patient && ended.has(line.holder)) throw line.holder.hold.busy();
    line.holder.wanted.abort(new RuntimeError("canceled", "another call goes first"));
    return await new Promise<Turn>((resolve, reject) => {
      const leave = (): void => {
        line.waiting.splice(line.waiting.indexOf(turn), 1);
        reject(reasonOf(signal, line.holder));
      };
      const turn: Turn = {
        ...facts,
        enter: () => {
          signal.removeEventListener("abort", leave);
          resolve(turn);
        },
        refuse: (reason) => {
          signal.removeEventListener("abort", leave);
          reject(reason);
        },
      };
      line.waiting.push(turn);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  #leave(key: K, turn: Turn): void {
    if (turn.hold.isFree) {
      this.#next(key);
      return;
    }
    ended.add(turn);
    const line = this.#lines.get(key);
    const patient = line?.waiting.filter((waiter) => waiter.patient) ?? [];
    for (const waiter of line?.waiting.splice(0) ?? []) if (!waiter.patient) waiter.refuse(turn.hold.busy());
    line?.waiting.push(...patient);
    void turn.hold.freed().then(() => {
      this.#next(key);
    });
  }

  #next(key: K): void {
    const line = this.#lines.get(key);
    const next = line?.waiting.shift();
    if (line === undefined || next === undefined) {
      this.#lines.delete(key);
      return;
    }
    line.holder = next;
    if (line.waiting.length > 0) next.wanted.abort(new RuntimeError("canceled", "another call goes first"));
    next.enter();
  }
}

/** Turns whose work has answered, and whose keys are held by what was given up in it. */
const ended = new WeakSet<Turn>();

function reasonOf(signal: AbortSignal, holder: Turn): Error {
  const reason: unknown = signal.reason;
  const at = holder.step === undefined ? "" : `, which has it for: ${holder.step.name}`;
  if (reason instanceof RuntimeError)
    return new RuntimeError(reason.code, `${reason.message}; waited for another call${at}`);
  return reason instanceof Error ? reason : new RuntimeError("canceled", "aborted");
}

function ignore(): void {
  // It has its turn already.
}
