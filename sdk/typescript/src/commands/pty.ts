import type { RequestOpts } from "../options.js";
import type { OutputFrom } from "./follow.js";
import type { CommandHandle } from "./handle.js";
import type { SandboxProcesses } from "./processes.js";

const usualLimitMs = 60_000;
const sigkill = 9;

export interface PtySize {
  readonly cols: number;
  readonly rows: number;
}

export interface PtyCreateOpts extends PtySize, RequestOpts {
  /** Where it takes its time the terminal waits. */
  readonly onData: (data: Uint8Array) => void | Promise<void>;
  readonly cwd?: string;
  readonly user?: string;
  readonly envs?: Readonly<Record<string, string>>;
  /** After that it is killed. 0: never. Usually 60,000. */
  readonly timeoutMs?: number;
}

export interface PtyConnectOpts extends RequestOpts {
  readonly onData?: (data: Uint8Array) => void | Promise<void>;
  /** Where reading begins; usually `unseen`. */
  readonly from?: OutputFrom;
}

/** Terminals of a sandbox: a shell in each, which outlives its client. */
export class Pty {
  readonly #processes: SandboxProcesses;

  constructor(processes: SandboxProcesses) {
    this.#processes = processes;
  }

  async create(opts: PtyCreateOpts): Promise<CommandHandle> {
    this.#processes.requireStreams("pty.create");
    const wanted = {
      ...{ command: "", shell: ["-i", "-l"], workingDir: opts.cwd ?? "", user: opts.user ?? "" },
      env: { TERM: "xterm-256color", LANG: "C.UTF-8", LC_ALL: "C.UTF-8", ...opts.envs },
      terminal: { columns: opts.cols, rows: opts.rows },
      ...{ stdin: true, limitMs: opts.timeoutMs ?? usualLimitMs },
    };
    return await this.#processes.start(wanted, { onPty: opts.onData }, this.#processes.call("pty.create", opts));
  }

  async connect(pid: number, opts: PtyConnectOpts = {}): Promise<CommandHandle> {
    const output = { onPty: opts.onData ?? (() => undefined) };
    return await this.#processes.connect(pid, opts.from ?? "unseen", output, this.#processes.call("pty.connect", opts));
  }

  /** What is typed. */
  async sendInput(pid: number, data: string | Uint8Array, opts?: RequestOpts): Promise<void> {
    await this.#processes.sendInput(pid, data, this.#processes.call("pty.sendInput", opts));
  }

  async resize(pid: number, { cols, rows }: PtySize, opts?: RequestOpts): Promise<void> {
    await this.#processes.resize(pid, cols, rows, this.#processes.call("pty.resize", opts));
  }

  async kill(pid: number, opts?: RequestOpts): Promise<boolean> {
    return await this.#processes.signal(pid, sigkill, this.#processes.call("pty.kill", opts));
  }
}
