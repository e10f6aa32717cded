/**
 * The threads that unpack layers: started when there is work, ended when there was none for a while, so that an idle
 * daemon carries none of them.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import pLimit, { type LimitFunction } from "p-limit";
import { RuntimeError } from "../../base/errors.js";
import type { TreeNotes } from "./layer-tree.js";
import type { SettleRequest, UnpackRequest, WorkerAnswer, WorkerRequest, WorkerSettings } from "./messages.js";

const idleMs = 10_000;
/** Ceiling of a worker's JavaScript heap; what it streams lies outside of it. */
const heapMib = 96;

interface Hand {
  readonly worker: Worker;
  idleTimer: NodeJS.Timeout | undefined;
}

export class UnpackPool {
  readonly #settings: WorkerSettings;
  readonly #turn: LimitFunction;
  readonly #idle: Hand[] = [];
  readonly #all = new Set<Hand>();
  #closed = false;

  constructor(settings: WorkerSettings, maxWorkers: number) {
    this.#settings = settings;
    this.#turn = pLimit(maxWorkers);
  }

  /** Rejects with what went wrong in the layer; with `canceled` when aborted, once the worker has let go of it. */
  async run(request: UnpackRequest | SettleRequest, signal: AbortSignal): Promise<TreeNotes> {
    return await this.#turn(async () => {
      if (signal.aborted) throw new RuntimeError("canceled", "given up");
      const hand = this.#take();
      try {
        const answer = await ask(hand.worker, request, signal);
        if (answer.ok) return answer.notes;
        throw new RuntimeError(answer.code, answer.message);
      } finally {
        if (this.#all.has(hand)) this.#giveBack(hand);
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((hand) => this.#end(hand)));
  }

  #take(): Hand {
    if (this.#closed) throw new RuntimeError("unavailable", "the image store is closed");
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      clearTimeout(idle.idleTimer);
      idle.worker.ref();
      return idle;
    }
    const hand: Hand = { worker: startWorker(this.#settings), idleTimer: undefined };
    this.#all.add(hand);
    hand.worker.once("exit", () => {
      this.#forget(hand);
    });
    hand.worker.on("error", () => undefined); // whoever asked sees it; an idle worker has nobody to tell
    return hand;
  }

  #giveBack(hand: Hand): void {
    hand.worker.unref();
    hand.idleTimer = setTimeout(() => {
      void this.#end(hand);
    }, idleMs);
    hand.idleTimer.unref();
    this.#idle.push(hand);
  }

  async #end(hand: Hand): Promise<void> {
    this.#forget(hand);
    clearTimeout(hand.idleTimer);
    await hand.worker.terminate();
  }

  #forget(hand: Hand): void {
    this.#all.delete(hand);
    const position = this.#idle.indexOf(hand);
    if (position >= 0) this.#idle.splice(position, 1);
  }
}

async function ask(worker: Worker, request: WorkerRequest, signal: AbortSignal): Promise<WorkerAnswer> {
  const done = new AbortController();
  const cancel = (): void => {
    worker.postMessage({ kind: "cancel" } satisfies WorkerRequest);
  };
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const died = once(worker, "exit", { signal: done.signal }).then((): WorkerAnswer => {
      throw new RuntimeError("internal", "the unpacking thread ended");
    });
    const answered = once(worker, "message", { signal: done.signal }).then(([answer]: unknown[]) => readAnswer(answer));
    died.catch(() => undefined);
    answered.catch(() => undefined);
    worker.postMessage(request);
    return await Promise.race([answered, died]);
  } finally {
    done.abort();
    signal.removeEventListener("abort", cancel);
  }
}

function readAnswer(raw: unknown): WorkerAnswer {
  if (isAnswer(raw)) return raw;
  throw new RuntimeError("internal", "the unpacking thread gave no answer");
}

/** Our own worker's words: the shape is checked by the compiler on the other side. */
function isAnswer(raw: unknown): raw is WorkerAnswer {
  return typeof raw === "object" && raw !== null && "ok" in raw;
}

/**
 * Compiled, the worker is `worker.js` beside this file. Run from the sources by tsx (the tests), Node 20 has no loader in
 * a new thread before its first module, so the thread begins with one that registers tsx. Drop that with Node 20.
 */
function startWorker(settings: WorkerSettings): Worker {
  const first = import.meta.url.endsWith(".ts") ? "./worker-from-sources.mjs" : "./worker.js";
  const resourceLimits = { maxOldGenerationSizeMb: heapMib };
  return new Worker(new URL(first, import.meta.url), { workerData: settings, resourceLimits });
}
