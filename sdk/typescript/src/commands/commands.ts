import type { CommandResult } from "../errors.js";
import type { Process } from "../gen/sandboxes/v1/processes.js";
import type { RequestOpts } from "../options.js";
import { exitStatusOf } from "./exit.js";
import type { OutputFrom } from "./follow.js";
import type { CommandHandle, OutputOpts } from "./handle.js";
import type { SandboxProcesses } from "./processes.js";

const usualLimitMs = 60_000;
const sigkill = 9;

export interface CommandStartOpts extends RequestOpts, Omit<OutputOpts, "onPty"> {
  /** Returns a handle as soon as it runs, and leaves it running. */
  readonly background?: boolean;
  /** Absolute, or relative to the sandbox's working directory. */
  readonly cwd?: string;
  /** Name, id or "user:group"; usually the sandbox's. */
  readonly user?: string;
  /** Over the sandbox's. */
  readonly envs?: Readonly<Record<string, string>>;
  /** A pipe as standard input, for `sendStdin`; else it is at its end. */
  readonly stdin?: boolean;
  /** After that it is killed with all that it has started, and `TimeoutError` is thrown. 0: never. Usually 60,000. */
  readonly timeoutMs?: number;
}

export interface CommandConnectOpts extends RequestOpts, Omit<OutputOpts, "onPty"> {
  /** Where reading begins; usually `unseen`: where the last reader had come to. */
  readonly from?: OutputFrom;
}

export interface ProcessInfo {
  readonly pid: number;
  /** Where it was given one by another client. */
  readonly tag?: string;
  readonly cmd: string;
  readonly args: string[];
  readonly cwd: string;
  readonly user: string;
  readonly startedAt: Date;
  /** Of one that has ended and is kept still. */
  readonly exit?: { readonly exitCode: number; readonly error?: string; readonly at: Date; readonly timedOut: boolean };
}

/** Programs of a sandbox. Each outlives its client and the runtime's restart, with its output, until it is forgotten. */
export class Commands {
  readonly #processes: SandboxProcesses;

  constructor(processes: SandboxProcesses) {
    this.#processes = processes;
  }

  /**
   * Runs a line by the sandbox's shell (bash where it has one), or a program with its arguments, to its end. Output is
   * gathered, and told to the callbacks as it comes. `CommandExitError` where it fails.
   */
  run(
    command: string | readonly string[],
    opts: CommandStartOpts & { readonly background: true },
  ): Promise<CommandHandle>;
  run(
    command: string | readonly string[],
    opts?: CommandStartOpts & { readonly background?: false },
  ): Promise<CommandResult>;
  run(command: string | readonly string[], opts?: CommandStartOpts): Promise<CommandHandle | CommandResult>;
  async run(command: string | readonly string[], opts: CommandStartOpts = {}): Promise<CommandHandle | CommandResult> {
    if (opts.background === true) return await this.start(command, opts);
    const call = this.#processes.call("commands.run", opts);
    const handle = await this.#start(command, opts, "commands.run");
    try {
      return await handle.wait(opts.signal === undefined ? {} : { signal: opts.signal });
    } finally {
      // Its result is here, or nobody wants it: it goes with its output, and with what is left of it.
      await handle.disconnect();
      this.#processes.forget(handle.pid, call);
    }
  }

  /** `run` in the background. */
  async start(command: string | readonly string[], opts: CommandStartOpts = {}): Promise<CommandHandle> {
    this.#processes.requireStreams("commands.start");
    return await this.#start(command, opts, "commands.start");
  }

  /** Reads on what a process writes, or has written: one of this client or of another, of before a restart too. */
  async connect(pid: number, opts: CommandConnectOpts = {}): Promise<CommandHandle> {
    return await this.#processes.connect(
      pid,
      opts.from ?? "unseen",
      opts,
      this.#processes.call("commands.connect", opts),
    );
  }

  /** Those that run; with `ended` those that have ended and are kept, too. */
  async list(opts: RequestOpts & { readonly ended?: boolean } = {}): Promise<ProcessInfo[]> {
    const all = await this.#processes.list(this.#processes.call("commands.list", opts));
    return all.filter(({ exit }) => exit === undefined || opts.ended === true).map(infoOf);
  }

  /** Ends it with all that it has started; false when it is not there, or has ended. */
  async kill(pid: number, opts?: RequestOpts): Promise<boolean> {
    return await this.#processes.signal(pid, sigkill, this.#processes.call("commands.kill", opts));
  }

  /** Sends a signal of Linux', by its number; false when it is not there, or has ended. */
  async signal(pid: number, signal: number, opts?: RequestOpts): Promise<boolean> {
    return await this.#processes.signal(pid, signal, this.#processes.call("commands.signal", opts));
  }

  /**
   * Resolves when the process's side has room for more. It is sent once: where the connection breaks, the `UnavailableError`
   * leaves open whether it has arrived.
   */
  async sendStdin(pid: number, data: string | Uint8Array, opts?: RequestOpts): Promise<void> {
    await this.#processes.sendInput(pid, data, this.#processes.call("commands.sendStdin", opts));
  }

  /** The process reads to the end of its input. */
  async closeStdin(pid: number, opts?: RequestOpts): Promise<void> {
    await this.#processes.closeInput(pid, this.#processes.call("commands.closeStdin", opts));
  }

  async #start(command: string | readonly string[], opts: CommandStartOpts, stage: string): Promise<CommandHandle> {
    const wanted = {
      ...{ command, env: opts.envs ?? {}, workingDir: opts.cwd ?? "", user: opts.user ?? "" },
      ...{ stdin: opts.stdin ?? false, limitMs: opts.timeoutMs ?? usualLimitMs },
    };
    return await this.#processes.start(wanted, opts, this.#processes.call(stage, opts));
  }
}

function infoOf({ id, args, workingDir, user, tag, startedAt, exit }: Process): ProcessInfo {
  const [cmd = "", ...rest] = args;
  const { exitCode = 0, error } = exit === undefined ? {} : exitStatusOf(exit);
  return {
    ...{ pid: id, cmd, args: rest, cwd: workingDir, user, startedAt: startedAt ?? new Date(0) },
    ...(tag === "" ? {} : { tag }),
    ...(exit === undefined
      ? {}
      : {
          exit: {
            ...{ exitCode, at: exit.at ?? new Date(0), timedOut: exit.timedOut },
            ...(error === undefined ? {} : { error }),
          },
        }),
  };
}
