import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RuntimeError } from "../../../base/errors.js";
import { messageOf } from "../../../base/errors.js";
import type { Logger } from "../../../base/log.js";
import { namesIn } from "../../../base/names-in.js";
import { anyOf, whyAborted } from "../../../base/signals.js";
import type { OutputFrom, ProcessEvent, ProcessExit, ProcessView } from "../process.js";
import type { ProcessRef } from "../../../gen/agent/v1/agent.js";
import type { Deadline } from "./deadline.js";
import { InputQueue } from "./input-queue.js";
import { SeenMark, writeRecord, type ProcessRecord } from "./process-record.js";
import { readOutput } from "./read-output.js";
import { OutputRing } from "./ring.js";

/** Where a process is kept, and how much of it. */
export interface Keeping {
  readonly directory: string;
  readonly ringBytes: number;
  readonly log: Logger;
}

/** One process: its record, its output, and who reads that. What it does in the guest is `follow`'s. */
export class KeptProcess {
  readonly process: ProcessRef;
  readonly input: InputQueue;
  /** Aborts when nothing more is to be done about it here: it is forgotten, or the daemon stops. The reason says which. */
  readonly over = new AbortController();
  /** Settles when it is followed no more; never rejects. Undefined: it was not yet. */
  following: Promise<void> | undefined;
  limit: Deadline | undefined;
  readonly #keeping: Keeping;
  #record: ProcessRecord;
  #ring: Promise<OutputRing> | undefined;
  #seen: SeenMark | undefined;
  #exit: ProcessExit | undefined;
  #connections = 0;
  #newestConnection = 0;
  #writing: Promise<void> = Promise.resolve();

  #bytes = 0;

  private constructor(record: ProcessRecord, sessionId: string, keeping: Keeping) {
    this.#record = record;
    this.#exit = record.exit;
    this.#keeping = keeping;
    this.process = { sessionId, execId: record.execId };
    this.input = new InputQueue(this.process);
  }

  /** One that is about to be started. */
  static new(record: ProcessRecord, sessionId: string, keeping: Keeping): KeptProcess {
    const process = new KeptProcess(record, sessionId, keeping);
    process.#ring = Promise.resolve(OutputRing.empty(keeping.directory, keeping.ringBytes, keeping.log));
    process.#seen = SeenMark.none(keeping.directory);
    return process;
  }

  /** One that an earlier daemon has left. Its output is looked at when somebody wants it. */
  static known(record: ProcessRecord, sessionId: string, keeping: Keeping, bytes: number): KeptProcess {
    const process = new KeptProcess(record, sessionId, keeping);
    process.#bytes = bytes;
    return process;
  }

  get number(): number {
    return this.#record.number;
  }

  get record(): ProcessRecord {
    return this.#record;
  }

  get exit(): ProcessExit | undefined {
    return this.#exit;
  }

  get isRead(): boolean {
    return this.#connections > 0;
  }

  get isFollowed(): boolean {
    return this.following !== undefined;
  }

  /** Of its files, once it has ended. */
  get bytes(): number {
    return this.#bytes;
  }

  get log(): Logger {
    return this.#keeping.log;
  }

  view(): ProcessView {
    const { number: id, wanted, startedAtMs } = this.#record;
    return { id, wanted, startedAtMs, ...(this.#exit === undefined ? {} : { exit: this.#exit }) };
  }

  async ring(): Promise<OutputRing> {
    const { directory, ringBytes, log } = this.#keeping;
    this.#ring ??= OutputRing.open(directory, ringBytes, log);
    return await this.#ring;
  }

  /** Says why it is over at its end: what has been forgotten, or a daemon that stops. */
  async *connect(from: OutputFrom, signal: AbortSignal): AsyncGenerator<ProcessEvent, void> {
    const ring = await this.ring();
    const seen = (this.#seen ??= await SeenMark.read(this.#keeping.directory));
    const number = (this.#newestConnection += 1);
    this.#connections += 1;
    try {
      const begin = Math.min(offsetOf(from, ring, seen), ring.end);
      seen.set(begin);
      const any = anyOf(signal, this.over.signal);
      for await (const event of readOutput(ring, begin, () => this.#exit !== undefined, any)) {
        yield event;
        if (event.kind !== "output" || number !== this.#newestConnection) continue;
        seen.set(event.offset + event.data.length);
      }
      if (signal.aborted) return;
      if (this.over.signal.aborted) throw whyAborted(this.over.signal);
      if (this.#exit !== undefined) yield { kind: "exit", exit: this.#exit };
    } finally {
      this.#connections -= 1;
    }
  }

  /** The first exit stays. Connections learn of it before it is on disk: the agent keeps it until it is. */
  async ended(exit: ProcessExit): Promise<void> {
    this.#exit ??= exit;
    const ring = await this.ring();
    this.#bytes = ring.bytes;
    ring.wake();
    await ring.close();
    await this.update({ exit: this.#exit });
  }

  /** Throws when it is over: what has not been written must not be forgotten by the agent. */
  async update(change: Partial<Pick<ProcessRecord, "exit" | "limitPassed">>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    const writing = this.#writing
      .catch(() => undefined)
      .then(async () => {
        if (this.over.signal.aborted) throw whyAborted(this.over.signal);
        await writeRecord(this.#keeping.directory, this.#record);
      });
    this.#writing = writing;
    await writing;
  }

  /** Nothing of it is written any more, and nobody reads it: connections end with the reason. */
  async close(why: RuntimeError): Promise<void> {
    this.over.abort(why);
    this.limit?.clear();
    await this.following;
    const ring = await this.#ring?.catch(() => undefined);
    ring?.wake();
    await this.#writing.catch(() => undefined);
    await this.#seen?.settled();
    await ring?.close();
  }

  /** After `close`. `keepsPlace`: its directory stays, empty, so that its number is not given again. */
  async removeFiles(keepsPlace: boolean): Promise<void> {
    const { directory, log } = this.#keeping;
    try {
      if (keepsPlace) for (const name of await namesIn(directory)) await rm(join(directory, name), { force: true });
      else await rm(directory, { recursive: true, force: true });
    } catch (thrown) {
      log.warn({ process: this.number, err: messageOf(thrown) }, "files of a process could not be removed");
    }
  }
}

function offsetOf(from: OutputFrom, ring: OutputRing, seen: SeenMark): number {
  switch (from) {
    case "start":
      return 0;
    case "unseen":
      return seen.offset;
    case "now":
      return ring.end;
    default:
      return from.offset;
  }
}
