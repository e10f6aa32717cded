import { Deadline, until } from "../deadline.js";
import {
  CommandExitError,
  QuotaError,
  SandboxError,
  TimeoutError,
  type CommandResult,
  type ErrorDetail,
} from "../errors.js";
import type { ProcessExit } from "../gen/sandboxes/v1/processes.js";
import type { RequestOpts } from "../options.js";
import { exitStatusOf } from "./exit.js";
import type { Followed, OutputFrom } from "./follow.js";
import type { Running } from "./start.js";

/** Of output that a handle keeps in memory. */
const usualMostBytes = 64 * 1024 * 1024;
/** A command's own limit is the runtime's to keep; one that says nothing about it for so long more is given up here. */
const graceMs = 15_000;

export interface OutputPart {
  readonly stream: "stdout" | "stderr";
  readonly data: Uint8Array;
  /** Of its first byte in all that the process has written to both streams. */
  readonly offset: number;
}

/** These bytes, before the next part, are nowhere any more: the runtime keeps the last 16 MiB. */
export interface OutputLost {
  readonly lost: number;
}

export interface OutputOpts {
  readonly onStdout?: (text: string) => void | Promise<void>;
  readonly onStderr?: (text: string) => void | Promise<void>;
  readonly onPty?: (data: Uint8Array) => void | Promise<void>;
  /** Past that of gathered output the handle fails, and the process goes on. Usually 64 MiB. */
  readonly maxOutputBytes?: number;
}

/** What a handle asks of those who have made it. */
export interface HandleActions {
  readonly kill: () => Promise<boolean>;
  readonly sendStdin: (data: string | Uint8Array, opts?: RequestOpts) => Promise<void>;
  readonly closeStdin: (opts?: RequestOpts) => Promise<void>;
  readonly output: (from: OutputFrom, signal: AbortSignal | undefined) => AsyncIterable<OutputPart | OutputLost>;
}

/** A process that runs, or has run. Its output is gathered as it comes; where a callback takes its time it is waited for. */
export class CommandHandle {
  /** Its number in its sandbox, from 1 up; never given twice. */
  readonly pid: number;
  readonly #running: Running;
  readonly #opts: OutputOpts;
  readonly #actions: HandleActions;
  readonly #detail: ErrorDetail;
  readonly #ending: Promise<ProcessExit>;
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  readonly #text = { stdout: "", stderr: "" };
  #bytes = 0;
  #lostBytes = 0;
  #exit: ProcessExit | undefined;

  constructor(running: Running, limitMs: number, opts: OutputOpts, actions: HandleActions, detail: ErrorDetail) {
    this.pid = running.process.id;
    this.#running = running;
    this.#opts = opts;
    this.#actions = actions;
    this.#detail = detail;
    this.#ending = this.#gather(limitMs);
    this.#ending.catch(() => undefined); // whoever waits is told
  }

  get stdout(): string {
    return this.#text.stdout;
  }

  get stderr(): string {
    return this.#text.stderr;
  }

  /** Undefined while it runs. */
  get exitCode(): number | undefined {
    return this.#exit === undefined ? undefined : exitStatusOf(this.#exit).exitCode;
  }

  get error(): string | undefined {
    return this.#exit === undefined ? undefined : exitStatusOf(this.#exit).error;
  }

  /** See `CommandResult.lostBytes`. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  /**
   * Its result; a `CommandExitError` where it fails, a `TimeoutError` where its time has passed. `requestTimeoutMs` limits the
   * waiting, and not the process.
   */
  async wait(opts: RequestOpts = {}): Promise<CommandResult> {
    const limit = new Deadline(opts.requestTimeoutMs ?? 0, opts.signal, this.#detail);
    try {
      const exit = await until(this.#ending, limit.signal);
      if (exit.timedOut) throw new TimeoutError("the command has run for all the time that it had", this.#detail);
      const { stdout, stderr } = this;
      const result = { ...exitStatusOf(exit), stdout, stderr, lostBytes: this.#lostBytes };
      if (result.exitCode !== 0) throw new CommandExitError(result, this.#detail);
      return result;
    } finally {
      limit.clear();
    }
  }

  /** Ends it with all that it has started; false when it had ended. */
  async kill(): Promise<boolean> {
    return await this.#actions.kill();
  }

  /** Reads no more. The process goes on; `commands.connect` takes its output up. */
  disconnect(): Promise<void> {
    const words = "this handle was disconnected: commands.connect(pid) takes the process up again";
    this.#running.stop.abort(new SandboxError(words, this.#detail));
    return Promise.resolve();
  }

  async sendStdin(data: string | Uint8Array, opts?: RequestOpts): Promise<void> {
    await this.#actions.sendStdin(data, opts);
  }

  async closeStdin(opts?: RequestOpts): Promise<void> {
    await this.#actions.closeStdin(opts);
  }

  /**
   * Its output as bytes, on a connection of its own, no faster than it is asked for; ends with the process. Nothing of it is
   * kept in memory.
   */
  output(from: OutputFrom = "start", opts: Pick<RequestOpts, "signal"> = {}): AsyncIterable<OutputPart | OutputLost> {
    return this.#actions.output(from, opts.signal);
  }

  async #gather(limitMs: number): Promise<ProcessExit> {
    const { events, stop } = this.#running;
    const limit = new Deadline(limitMs === 0 ? 0 : limitMs + graceMs, undefined, this.#detail);
    const abort = (): void => {
      stop.abort(limit.signal.reason);
    };
    limit.signal.addEventListener("abort", abort);
    try {
      for await (const event of events) {
        if (event.kind === "exit") {
          await this.#flush();
          this.#exit = event.exit;
          return event.exit;
        }
        await this.#take(event);
      }
      throw new SandboxError("the output ended before the exit", this.#detail);
    } finally {
      limit.clear();
      stop.abort(new SandboxError("nobody reads it any more", this.#detail));
    }
  }

  async #take(event: Exclude<Followed, { kind: "exit" }>): Promise<void> {
    if (event.kind === "lost") this.#lostBytes += event.bytes;
    if (event.kind !== "output") return;
    const most = this.#opts.maxOutputBytes ?? usualMostBytes;
    this.#bytes += event.data.length;
    if (this.#opts.onPty !== undefined) {
      await this.#opts.onPty(event.data);
      return;
    }
    if (this.#bytes > most) {
      const words = `more than ${most} bytes of output (read it by handle.output(), or raise maxOutputBytes)`;
      throw new QuotaError(words, this.#detail);
    }
    await this.#say(event.stream, this.#decoders[event.stream].decode(event.data, { stream: true }));
  }

  async #flush(): Promise<void> {
    for (const stream of ["stdout", "stderr"] as const) await this.#say(stream, this.#decoders[stream].decode());
  }

  async #say(stream: "stdout" | "stderr", text: string): Promise<void> {
    if (text === "") return;
    this.#text[stream] += text;
    await (stream === "stdout" ? this.#opts.onStdout : this.#opts.onStderr)?.(text);
  }
}
