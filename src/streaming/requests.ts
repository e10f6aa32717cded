/** What the streaming server serves: the words between it and the runtime. Nothing here speaks CRI. */

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

export interface ByteSink {
  /** Resolves when more may follow; rejects when the client has gone. */
  write(bytes: Uint8Array): Promise<void>;
}

/** What a client brings to a command. Whatever reads or writes slowly slows the other side; nothing is buffered much. */
export interface CommandStreams {
  /** Ends when the client closes its side or goes; undefined when none was asked for. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  readonly stdout: ByteSink | undefined;
  readonly stderr: ByteSink | undefined;
  /** Sizes of the client's window, as they change; only with a terminal. */
  readonly sizes: AsyncIterable<TerminalSize>;
}

/** How a command ended: an exit code, or undefined where nobody is told one (attach). */
export type CommandEnd = number | undefined;

export interface CommandRequest {
  readonly kind: "exec" | "attach";
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  /** Runs once; the signal aborts when the client goes. What it throws, the client reads. */
  run(streams: CommandStreams, signal: AbortSignal): Promise<CommandEnd>;
}

/** A TCP connection in the sandbox. Reading ends when the program there ends its direction; throws when it broke. */
export interface PodConnection extends AsyncIterable<Uint8Array> {
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be written; reading goes on. */
  end(): void;
  /** Ends both directions at once. */
  close(): void;
}

export interface ForwardRequest {
  readonly kind: "portforward";
  /** For clients whose protocol names no port of its own; may be empty. */
  readonly ports: readonly number[];
  /** Called for each connection; the client reads what it throws. The signal breaks off the connection too. */
  connect(port: number, signal: AbortSignal): Promise<PodConnection>;
}

export type StreamRequest = CommandRequest | ForwardRequest;
