/** Programs in a sandbox. Each is an exec of its container, kept with its output and its exit until it is forgotten. */

export interface ProcessWanted {
  /** Program and arguments, without a shell. */
  readonly args: readonly string[];
  /** Over the sandbox's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, or relative to the sandbox's working directory; "": that. */
  readonly workingDir: string;
  /** Name, id or "user:group"; "": the sandbox's. */
  readonly user: string;
  /** Absent: pipes. */
  readonly terminal?: TerminalWanted;
  /** A pipe as standard input; else /dev/null. A terminal has one anyway. */
  readonly stdin: boolean;
  /** A name of the client's; "": none. Two of one sandbox may have the same: the newest is meant. */
  readonly tag: string;
  /** Of this start alone: asked again with it, the start is answered by what has come of it. Absent: each is another. */
  readonly startId?: string;
  /** Then it is killed with all it has started. 0: never. */
  readonly limitMs: number;
}

export interface TerminalWanted {
  readonly columns: number;
  readonly rows: number;
}

/** From 1 up in each sandbox; never given twice. Not the kernel's pid. */
export type ProcessNumber = number;

export interface ProcessView {
  readonly id: ProcessNumber;
  readonly wanted: ProcessWanted;
  readonly startedAtMs: number;
  /** Absent while it runs. */
  readonly exit?: ProcessExit;
}

export interface ProcessExit {
  /** 0 to 255; that of a process that a signal ended is 128 and the signal. */
  readonly code: number;
  /** 0: it has exited by itself. */
  readonly signal: number;
  readonly atMs: number;
  /** `limitMs` had passed. */
  readonly timedOut: boolean;
  /** Why nobody has seen it end, and code and signal are those of a kill: its Box has gone. Absent: it was seen. */
  readonly lost?: string;
}

/**
 * Where a connection begins to read.
 * start: with all that is still kept. unseen: where the last connection of any client had come to. now: with what comes
 * next. A number: that byte of the output, as `OutputPart.offset` counts.
 */
export type OutputFrom = "start" | "unseen" | "now" | { readonly offset: number };

export type ProcessEvent =
  | ({ readonly kind: "output" } & OutputPart)
  /** The ring had no room: these bytes before the next part have gone unread. */
  | { readonly kind: "lost"; readonly bytes: number }
  /** The last one. */
  | { readonly kind: "exit"; readonly exit: ProcessExit };

export interface OutputPart {
  readonly stream: "stdout" | "stderr";
  readonly data: Uint8Array;
  /** Of its first byte in all that the process has written to both streams. */
  readonly offset: number;
}

/** The processes of one sandbox, for one caller. Whoever asks for one that is not there gets `notFound`. */
export interface Processes {
  /**
   * Resolves when the program runs. `notFound`: there is no such program; `invalidArgument`: no such user or directory,
   * or a program that can't be executed; `resourceExhausted`: too many of them. It outlives the caller and the daemon.
   */
  start(wanted: ProcessWanted, signal: AbortSignal): Promise<ProcessView>;
  get(id: ProcessNumber): ProcessView;
  /** The newest with this tag. */
  tagged(tag: string): ProcessView;
  /** What has come of a start, which is waited for while it is under way. */
  startedBy(startId: string, signal: AbortSignal): Promise<ProcessView>;
  /** Those that run, and those that have ended and are kept still. */
  list(): readonly ProcessView[];
  /** Ends after the exit, or with `signal`. Any number of connections may read one process, each at its own speed. */
  connect(id: ProcessNumber, from: OutputFrom, signal: AbortSignal): AsyncIterable<ProcessEvent>;
  /** `failedPrecondition` where it takes no input, or no more. Resolves when the process's side has room again. */
  write(id: ProcessNumber, data: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Success where it has ended already. A terminal gets the character for it (^D). */
  closeInput(id: ProcessNumber, signal: AbortSignal): Promise<void>;
  /** A number of Linux', 1 to 64. `all`: to what it has started, too. `notFound` when it has exited. */
  signal(id: ProcessNumber, number: number, all: boolean, signal: AbortSignal): Promise<void>;
  /** `failedPrecondition` without a terminal. */
  resize(id: ProcessNumber, size: TerminalWanted, signal: AbortSignal): Promise<void>;
  /** Kills what is left of it and drops output and exit. Success where it is not there. */
  forget(id: ProcessNumber, signal: AbortSignal): Promise<void>;
}
