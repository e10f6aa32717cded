/** What is done with a process that is there: commands and terminals have it in common. */
import type { Call, Connection } from "../connection.js";
import { InvalidArgumentError, ProcessNotFoundError } from "../errors.js";
import { ProcessServiceService as service } from "../gen/sandboxes/v1/processes.js";
import type { RequestOpts } from "../options.js";
import { follow, type OutputFrom } from "./follow.js";
import { CommandHandle, type HandleActions, type OutputLost, type OutputOpts, type OutputPart } from "./handle.js";
import { begun, forget, startProgram, type Running, type Shell, type Wanted } from "./start.js";

const sigkill = 9;
/** One message of input. */
const inputBytes = 256 * 1024;

export class SandboxProcesses {
  readonly #connection: Connection;
  readonly #sandboxId: string;
  readonly #shell: Shell = { program: "/bin/bash" };

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection;
    this.#sandboxId = sandboxId;
  }

  call(stage: string, opts: RequestOpts | undefined): Call {
    return { stage, subject: "process", sandboxId: this.#sandboxId, opts };
  }

  requireStreams(stage: string): void {
    this.#connection.requireStreams(this.call(stage, undefined));
  }

  async start(wanted: Wanted, output: OutputOpts, call: Call): Promise<CommandHandle> {
    const running = await startProgram(this.#connection, this.#sandboxId, wanted, this.#shell, call);
    return this.#handle(running, wanted.limitMs, output, call);
  }

  async connect(pid: number, from: OutputFrom, output: OutputOpts, call: Call): Promise<CommandHandle> {
    const begin = { kind: "connect", process: { id: checkedPid(pid, call) }, from } as const;
    const running = await begun(this.#connection, this.#sandboxId, begin, call);
    return this.#handle(running, 0, output, call);
  }

  async list(call: Call) {
    const request = { sandboxId: this.#sandboxId };
    return (await this.#connection.repeatable(service.listProcesses, request, call)).processes;
  }

  /** False where it is not there, or has exited. */
  async signal(pid: number, signal: number, call: Call): Promise<boolean> {
    const request = { sandboxId: this.#sandboxId, process: { id: pid }, signal, all: signal === sigkill };
    try {
      // A signal that comes twice is one to a program that is to end; others are sent once.
      if (signal === sigkill) await this.#connection.repeatable(service.signalProcess, request, call);
      else await this.#connection.once(service.signalProcess, request, call);
      return true;
    } catch (thrown) {
      if (thrown instanceof ProcessNotFoundError) return false;
      throw thrown;
    }
  }

  async sendInput(pid: number, data: string | Uint8Array, call: Call): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#connection.limited(call, async (signal) => {
      for (let at = 0; at < bytes.length; at += inputBytes) {
        const part = Buffer.from(bytes.subarray(at, at + inputBytes));
        const request = { sandboxId: this.#sandboxId, process: { id: pid }, data: part };
        await this.#connection.once(service.sendInput, request, { ...call, opts: { requestTimeoutMs: 0, signal } });
      }
    });
  }

  async closeInput(pid: number, call: Call): Promise<void> {
    const request = { sandboxId: this.#sandboxId, process: { id: pid } };
    await this.#connection.repeatable(service.closeInput, request, call);
  }

  async resize(pid: number, columns: number, rows: number, call: Call): Promise<void> {
    const request = { sandboxId: this.#sandboxId, process: { id: pid }, terminal: { columns, rows } };
    await this.#connection.repeatable(service.resizeTerminal, request, call);
  }

  forget(pid: number, call: Call): void {
    forget(this.#connection, this.#sandboxId, { id: pid }, call);
  }

  async *output(
    pid: number,
    from: OutputFrom,
    outer: AbortSignal | undefined,
  ): AsyncGenerator<OutputPart | OutputLost, void> {
    const call = this.call("handle.output", undefined);
    const stop = new AbortController();
    const abort = (): void => {
      stop.abort(outer?.reason);
    };
    if (outer?.aborted === true) abort();
    outer?.addEventListener("abort", abort, { once: true });
    const following = { connection: this.#connection, sandboxId: this.#sandboxId, call, signal: stop.signal };
    try {
      for await (const event of follow(following, { kind: "connect", process: { id: pid }, from })) {
        if (event.kind === "output") yield { stream: event.stream, data: event.data, offset: event.offset };
        else if (event.kind === "lost") yield { lost: event.bytes };
      }
    } finally {
      outer?.removeEventListener("abort", abort);
      stop.abort();
    }
  }

  #handle(running: Running, limitMs: number, output: OutputOpts, call: Call): CommandHandle {
    const { id } = running.process;
    const actions: HandleActions = {
      kill: () => this.signal(id, sigkill, this.call("handle.kill", undefined)),
      sendStdin: (data, opts) => this.sendInput(id, data, this.call("handle.sendStdin", opts)),
      closeStdin: (opts) => this.closeInput(id, this.call("handle.closeStdin", opts)),
      output: (from, signal) => this.output(id, from, signal),
    };
    return new CommandHandle(running, limitMs, output, actions, { stage: call.stage, sandboxId: this.#sandboxId });
  }
}

function checkedPid(pid: number, { stage, sandboxId }: Call): number {
  if (Number.isInteger(pid) && pid > 0) return pid;
  throw new InvalidArgumentError(`${String(pid)} is no number of a process`, { stage, sandboxId });
}
