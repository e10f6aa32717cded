import { rm } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../../../base/closed-directory.js";
import { codeOf, errnoOf, messageOf, RuntimeError } from "../../../base/errors.js";
import { onItsOwn } from "../../../base/hold.js";
import type { Logger } from "../../../base/log.js";
import { SharedWork } from "../../../base/shared-work.js";
import type { DetachedExecs } from "../../../runtime/exec/detached-execs.js";
import { keptExecPrefix } from "../../../runtime/exec/exec-spec.js";
import type { AgentClient } from "../../../vmm/agent/agent-client.js";
import type { Box } from "../../../vmm/box.js";
import type {
  OutputFrom,
  ProcessEvent,
  ProcessNumber,
  ProcessView,
  ProcessWanted,
  TerminalWanted,
} from "../process.js";
import { checkedWanted, checkSize } from "./check-wanted.js";
import { follow, forgetInAgent } from "./follow.js";
import { KeptProcess } from "./kept-process.js";
import { loadProcesses } from "./load-processes.js";
import { writeFirstRecord } from "./process-record.js";
import type { ProcessStore } from "./process-store.js";
import { defaultRingBytes } from "./ring.js";
import { takeUpAll } from "./take-up.js";
import { whichToForget } from "./which-to-forget.js";

/** Of one sandbox. */
export interface ProcessLimits {
  /** Of a process's output that is kept, in files. */
  readonly ringBytes: number;
  /** The agent keeps 256 execs of a session, and those that have ended are a moment in going. */
  readonly mostRunning: number;
}

const usualLimits: ProcessLimits = { ringBytes: defaultRingBytes, mostRunning: 200 };
const lastSignal = 64;

/** The processes of one sandbox, kept in a directory of its own. */
export class SandboxProcesses implements ProcessStore {
  readonly #directory: string;
  readonly #execs: DetachedExecs;
  readonly #log: Logger;
  readonly #limits: ProcessLimits;
  readonly #processes = new Map<ProcessNumber, KeptProcess>();
  /** Whose exec is being started; nobody sees them yet. */
  readonly #starting = new Map<ProcessNumber, KeptProcess>();
  /** By their ids: whoever asks again, or looks for what came of one, waits for the first. */
  readonly #starts = new SharedWork<string, ProcessView>({ outlivesCallers: true });
  #highest = 0;
  #closed: RuntimeError | undefined;

  private constructor(directory: string, execs: DetachedExecs, log: Logger, limits: ProcessLimits) {
    this.#directory = directory;
    this.#execs = execs;
    this.#log = log;
    this.#limits = limits;
  }

  /** With what an earlier daemon has left there. */
  static async open(
    directory: string,
    execs: DetachedExecs,
    log: Logger,
    wanted: Partial<ProcessLimits> = {},
  ): Promise<SandboxProcesses> {
    const limits = { ...usualLimits, ...wanted };
    await closedDirectory(directory);
    const { processes, highest } = await loadProcesses(directory, execs.sessionId, limits.ringBytes, log);
    const store = new SandboxProcesses(directory, execs, log, limits);
    for (const process of processes) store.#processes.set(process.number, process);
    store.#highest = highest;
    return store;
  }

  async start(wanted: ProcessWanted, signal: AbortSignal): Promise<ProcessView> {
    const checked = checkedWanted(wanted);
    const { startId } = checked;
    if (startId === undefined) return await this.#start(checked, signal);
    return await this.#starts.run(
      startId,
      signal,
      async (own) => this.#cameOf(startId) ?? (await this.#start(checked, own)),
    );
  }

  async #start(checked: ProcessWanted, signal: AbortSignal): Promise<ProcessView> {
    this.#requireOpen();
    const running = this.#starting.size + [...this.#processes.values()].filter(({ exit }) => exit === undefined).length;
    if (running >= this.#limits.mostRunning) {
      throw new RuntimeError("resourceExhausted", `${running} processes run in the sandbox already`, {
        hint: "end some, or wait for their end",
      });
    }
    const number = (this.#highest += 1);
    const { sessionId } = this.#execs;
    const record = { version: 1, number, execId: `${keptExecPrefix}${number}`, wanted: checked } as const;
    const keeping = {
      directory: join(this.#directory, String(number)),
      ringBytes: this.#limits.ringBytes,
      log: this.#log,
    };
    const process = KeptProcess.new({ ...record, startedAtMs: Date.now() }, sessionId, keeping);
    this.#starting.set(number, process);
    try {
      const box = await this.#execs.box(signal);
      await this.#begin(process, keeping.directory, box, signal);
      this.#processes.set(number, process);
      follow(process, box, () => {
        this.#forgetOldest();
      });
    } finally {
      this.#starting.delete(number);
    }
    this.#forgetOldest();
    return process.view();
  }

  /** The record comes first: a daemon that is killed here finds the exec by it. */
  async #begin(process: KeptProcess, directory: string, box: Box, signal: AbortSignal): Promise<void> {
    const { wanted } = process.record;
    const { args, env, workingDir, user, stdin, terminal } = wanted;
    const size = terminal === undefined ? {} : { size: terminal };
    const spec = { args, env, workingDir, user, stdin, terminal: terminal !== undefined, ...size };
    try {
      await writeFirstRecord(directory, process.record);
      await this.#execs.start(box, process.process.execId, spec, signal);
      this.#requireOpen();
    } catch (thrown) {
      const isRefusal = ["notFound", "invalidArgument"].includes(codeOf(thrown));
      if (!isRefusal) await forgetInAgent(process, box);
      await process.removeFiles(false);
      const isFull = ["ENOSPC", "EDQUOT"].includes(errnoOf(thrown) ?? "");
      throw isFull ? new RuntimeError("resourceExhausted", messageOf(thrown), { cause: thrown }) : thrown;
    }
  }

  get(id: ProcessNumber): ProcessView {
    return this.#require(id).view();
  }

  tagged(tag: string): ProcessView {
    const found = tag === "" ? undefined : this.list().findLast(({ wanted }) => wanted.tag === tag);
    if (found === undefined) throw new RuntimeError("notFound", `there is no process with the tag "${tag}"`);
    return found;
  }

  async startedBy(startId: string, signal: AbortSignal): Promise<ProcessView> {
    return await this.#starts.run(startId, signal, () => {
      const found = this.#cameOf(startId);
      const missing = (): RuntimeError => new RuntimeError("notFound", `there is no process of the start "${startId}"`);
      return found === undefined ? Promise.reject(missing()) : Promise.resolve(found);
    });
  }

  #cameOf(startId: string): ProcessView | undefined {
    return this.list().find(({ wanted }) => wanted.startId === startId);
  }

  list(): readonly ProcessView[] {
    return [...this.#processes.values()].map((process) => process.view()).sort((a, b) => a.id - b.id);
  }

  connect(id: ProcessNumber, from: OutputFrom, signal: AbortSignal): AsyncIterable<ProcessEvent> {
    if (typeof from === "object" && !(Number.isSafeInteger(from.offset) && from.offset >= 0)) {
      throw new RuntimeError("invalidArgument", `${from.offset} is no place in an output`);
    }
    return this.#require(id).connect(from, signal);
  }

  async write(id: ProcessNumber, data: Uint8Array, signal: AbortSignal): Promise<void> {
    const process = this.#require(id);
    const { stdin, terminal } = process.record.wanted;
    if (!stdin && terminal === undefined) throw takesNone(id, "was started without a standard input");
    if (process.exit !== undefined) throw takesNone(id, "has exited");
    if (data.length === 0) return;
    try {
      await process.input.write(() => this.#agent(signal), data, signal);
    } catch (thrown) {
      throw codeOf(thrown) === "notFound" ? takesNone(id, "has exited") : thrown;
    }
  }

  async closeInput(id: ProcessNumber, signal: AbortSignal): Promise<void> {
    const process = this.#require(id);
    const { stdin, terminal } = process.record.wanted;
    if (process.exit !== undefined || (!stdin && terminal === undefined)) return;
    await process.input.close(() => this.#agent(signal), terminal !== undefined, signal);
  }

  async signal(id: ProcessNumber, number: number, all: boolean, signal: AbortSignal): Promise<void> {
    if (!Number.isInteger(number) || number < 1 || number > lastSignal) {
      throw new RuntimeError("invalidArgument", `${number} is not a signal`);
    }
    const process = this.#requireRunning(id);
    await (await this.#agent(signal)).signalProcess(process.process, number, all, signal);
  }

  async resize(id: ProcessNumber, size: TerminalWanted, signal: AbortSignal): Promise<void> {
    checkSize(size);
    const process = this.#requireRunning(id);
    if (process.record.wanted.terminal === undefined) {
      throw new RuntimeError("failedPrecondition", `process ${id} has no terminal`);
    }
    await (await this.#agent(signal)).resize(process.process, size.columns, size.rows, signal);
  }

  async forget(id: ProcessNumber, signal: AbortSignal): Promise<void> {
    const process = this.#processes.get(id);
    if (process === undefined) return;
    const isRunning = process.exit === undefined;
    // Without a Box there is nothing to kill.
    const box = isRunning ? await this.#execs.box(signal).catch(() => undefined) : undefined;
    signal.throwIfAborted();
    await this.#drop(process);
    if (box !== undefined) await forgetInAgent(process, box);
  }

  async takeUp(signal: AbortSignal): Promise<void> {
    await takeUpAll({
      execs: this.#execs,
      processes: [...this.#processes.values()],
      isWanted: (execId) =>
        [...this.#starting.values(), ...this.#processes.values()].some(
          ({ process, exit }) => process.execId === execId && exit === undefined,
        ),
      drop: (process) => this.#drop(process),
      ended: () => {
        this.#forgetOldest();
      },
      signal,
    });
    this.#forgetOldest();
  }

  async close(): Promise<void> {
    await this.#close(new RuntimeError("unavailable", "the daemon stops", { hint: "connect again" }));
  }

  async remove(): Promise<void> {
    await this.#close(new RuntimeError("notFound", "the sandbox has ended"));
    this.#processes.clear();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #close(why: RuntimeError): Promise<void> {
    this.#closed ??= why;
    await this.#starts.close(why.message);
    await Promise.all([...this.#processes.values()].map((process) => process.close(why)));
  }

  #forgetOldest(): void {
    if (this.#closed !== undefined) return;
    for (const process of whichToForget(this.#processes.values(), this.#limits.ringBytes, Date.now())) {
      onItsOwn(() => this.#drop(process)).catch((thrown: unknown) => {
        this.#log.warn({ process: process.number, err: messageOf(thrown) }, "a process could not be forgotten");
      });
    }
  }

  /** Nobody finds it any more; its number is not given again. */
  async #drop(process: KeptProcess): Promise<void> {
    this.#processes.delete(process.number);
    await process.close(new RuntimeError("notFound", `process ${process.number} was forgotten`));
    await process.removeFiles(process.number === this.#highest);
  }

  async #agent(signal: AbortSignal): Promise<AgentClient> {
    return (await this.#execs.box(signal)).agent;
  }

  #requireOpen(): void {
    if (this.#closed !== undefined) throw this.#closed;
  }

  #require(id: ProcessNumber): KeptProcess {
    const process = this.#processes.get(id);
    if (process === undefined) throw new RuntimeError("notFound", `there is no process ${id}`);
    return process;
  }

  #requireRunning(id: ProcessNumber): KeptProcess {
    const process = this.#require(id);
    if (process.exit !== undefined) throw new RuntimeError("notFound", `process ${id} has exited`);
    return process;
  }
}

function takesNone(id: ProcessNumber, why: string): RuntimeError {
  return new RuntimeError("failedPrecondition", `process ${id} takes no input: it ${why}`);
}
