/** Sandboxes for agents, each a microVM. */
export { Sandbox, Sandbox as default, type SandboxConnectOpts } from "./sandbox/sandbox.js";
export type { SandboxOpts } from "./sandbox/create.js";
export type { CodingAgentInfo, SandboxInfo, SandboxMetrics, SandboxMount, SandboxState } from "./sandbox/info.js";
export type { Agent } from "./agent/agent.js";
export type { AgentSession, AgentStartOpts } from "./agent/session.js";
export type { AgentUpdate, PermissionOption, PermissionQuestion, PromptOpts, PromptResult } from "./agent/messages.js";
export { SandboxPaginator, type SandboxListOpts } from "./sandbox/list.js";
export type { Commands, CommandConnectOpts, CommandStartOpts, ProcessInfo } from "./commands/commands.js";
export type { OutputFrom } from "./commands/follow.js";
export type { CommandHandle, OutputLost, OutputOpts, OutputPart } from "./commands/handle.js";
export type { Pty, PtyConnectOpts, PtyCreateOpts, PtySize } from "./commands/pty.js";
export type {
  Filesystem,
  FilesystemReadOpts,
  FilesystemRequestOpts,
  FilesystemWriteOpts,
  WatchOpts,
  WriteEntry,
} from "./files/files.js";
export type { FileData } from "./files/body.js";
export { FileType, type EntryInfo, type WriteInfo } from "./files/entry.js";
export { FilesystemEventType, type FilesystemEvent, type WatchHandle } from "./files/watch.js";
export type { ForwardedPort, ForwardOpts, Ports } from "./ports.js";
export type { ConnectionOpts, RequestOpts } from "./options.js";
export {
  AlreadyExistsError,
  AuthenticationError,
  CommandExitError,
  FailedPreconditionError,
  FileNotFoundError,
  InvalidArgumentError,
  NotEnoughSpaceError,
  NotFoundError,
  PermissionDeniedError,
  ProcessNotFoundError,
  QuotaError,
  RateLimitError,
  SandboxError,
  SandboxNotFoundError,
  TimeoutError,
  UnavailableError,
  UnimplementedError,
  type CommandResult,
  type ErrorCode,
} from "./errors.js";
