/**
 * The daemon's side of proto/agent. gRPC does not leave this directory: callers see these functions, with deadlines and
 * `RuntimeError`s. Messages of the contract (`gen/agent/v1/agent.ts`) are its own words and may be used as they are.
 */
import type {
  ConfigureSandboxRequest,
  CreateSessionRequest,
  CreateSessionResponse,
  ExitStatus,
  HelloResponse,
  OutputChunk,
  ProcessRef,
  Session,
  StartExecRequest,
  StartExecResponse,
  StartSessionResponse,
  StatsRequest,
  StatsResponse,
  Submount,
  SyncSubmountsResponse,
  UpdateSessionRequest,
} from "../../gen/agent/v1/agent.js";

import type { AgentFiles } from "./agent-files.js";

/** An output stream being read. Chunks come in order, each once per stream; acknowledge what is safe on disk. */
export interface OutputReader extends AsyncIterable<OutputChunk> {
  acknowledge(sequence: bigint): void;
  close(): void;
}

export interface InputWriter {
  /** Resolves when the bytes may be followed by more. */
  write(data: Uint8Array): Promise<void>;
  /** Closes the process's stdin. */
  end(): Promise<void>;
  /** Leaves the process's stdin open. */
  close(): void;
  /** As `close`; resolves when the process's side has all that was written: in its pipe, or in its terminal. */
  finish(): Promise<void>;
}

/** A TCP connection in the guest. Reading ends when the program there ends its direction; throws when it broke. */
export interface PortConnection extends AsyncIterable<Uint8Array> {
  /** Resolves when the bytes may be followed by more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be written; reading goes on. */
  end(): void;
  /** Ends both directions at once. */
  close(): void;
}

export interface ServedPortWanted {
  readonly port: number;
  /** Every address of the pod, not its loopback alone. */
  readonly anyAddress: boolean;
  readonly mostConnections: number;
  /** A connection that was not taken for that long is reset. */
  readonly waitMs: number;
}

/** A connection to a served port that waits to be taken. */
export interface WaitingConnection {
  readonly id: bigint;
  /** "10.88.0.7:41234", "[::1]:41234", as the guest says; "": nothing that is an address. */
  readonly peer: string;
}

/**
 * Calls fail with `unavailable` while the agent can't be reached (the channel redials by itself), and with
 * `deadlineExceeded` after their own limit (10 s unless the call waits for a process).
 */
export interface AgentClient {
  hello(signal: AbortSignal): Promise<HelloResponse>;
  /** What a hello has said of the guest once it was set up, which does not change; says hello where none was said since. */
  guest(signal: AbortSignal): Promise<HelloResponse>;
  configureSandbox(request: ConfigureSandboxRequest, signal: AbortSignal): Promise<void>;
  createSession(request: CreateSessionRequest, signal: AbortSignal): Promise<CreateSessionResponse>;
  startSession(sessionId: string, signal: AbortSignal): Promise<StartSessionResponse>;
  startExec(request: StartExecRequest, signal: AbortSignal): Promise<StartExecResponse>;
  /** `signal` is a Linux signal number. */
  signalProcess(process: ProcessRef, signalNumber: number, all: boolean, signal: AbortSignal): Promise<void>;
  /** No limit of its own; survives lost connections until the signal aborts or the Box is gone (`unavailable`). */
  wait(process: ProcessRef, signal: AbortSignal): Promise<ExitStatus>;
  /** Resumes by itself after a lost connection: the reader sees each chunk once. */
  output(process: ProcessRef, after: bigint, autoAcknowledge: boolean, signal: AbortSignal): OutputReader;
  input(process: ProcessRef, signal: AbortSignal): InputWriter;
  resize(process: ProcessRef, width: number, height: number, signal: AbortSignal): Promise<void>;
  /**
   * Connects to a port of the guest's loopback; `failedPrecondition` when nobody listens there. The signal breaks off the
   * connection too.
   */
  connectPort(port: number, signal: AbortSignal): Promise<PortConnection>;
  /**
   * Has the agent listen on a port of the pod; resolves when it does. `alreadyExists`: a program there has the port. What
   * waits is told of no faster than it is read. It goes on to listen when the signal aborts.
   */
  servePort(wanted: ServedPortWanted, signal: AbortSignal): Promise<AsyncGenerator<WaitingConnection, void>>;
  /** `notFound`: it waits no more. Closing it before both ends have ended resets it in the pod; so does the signal. */
  takeConnection(id: bigint, signal: AbortSignal): Promise<PortConnection>;
  stopServing(port: number, signal: AbortSignal): Promise<void>;
  deleteSession(sessionId: string, signal: AbortSignal): Promise<void>;
  forgetExec(sessionId: string, execId: string, signal: AbortSignal): Promise<void>;
  updateSession(request: UpdateSessionRequest, signal: AbortSignal): Promise<void>;
  listSessions(signal: AbortSignal): Promise<Session[]>;
  /** As `listSessions`, of a guest that may be busy: no limit of its own, over lost connections (as `wait`). */
  reach(signal: AbortSignal): Promise<Session[]>;
  /**
   * Aborts when the agent has sent what its contract forbids, and with it the channel: every call has failed and will fail
   * with this `brokenContract`.
   */
  readonly broken: AbortSignal;
  /** For a guest that is about to stand still: what is under way breaks off or waits, and nobody calls it until `wake`. */
  rest(): void;
  wake(): void;
  readonly isResting: boolean;
  /** Resolves once it does not rest; rejects with the signal's reason. */
  awake(signal: AbortSignal): Promise<void>;
  /** Drops the connection and what is under way on it; the next call dials again. */
  hangUp(): void;
  stats(request: StatsRequest, signal: AbortSignal): Promise<StatsResponse>;
  dropCaches(signal: AbortSignal): Promise<void>;
  /** Brings the guest's copy of a volume up to date; `path` is the volume's place in the guest. `notFound`: no copy. */
  syncMirror(path: string, signal: AbortSignal): Promise<void>;
  /**
   * What is mounted below a volume of the guest, parents first; `notFound`: no session has it. Answers with the sources,
   * now or before, that the guest still uses, and with why the first that could not be mounted was not.
   */
  syncSubmounts(path: string, submounts: readonly Submount[], signal: AbortSignal): Promise<SyncSubmountsResponse>;
  /** Files of sessions. */
  readonly files: AgentFiles;
  shutdown(signal: AbortSignal): Promise<void>;
  /** Ends the channel for good: what waits fails with `unavailable` and this reason. */
  close(reason: string): void;
}
