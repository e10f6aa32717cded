import type {
  FileEntry,
  ListFilesRequest,
  ListFilesResponse,
  MakeDirectoryRequest,
  MoveFileRequest,
  ReadFileRequest,
  ReadFileResponse,
  RemoveFileRequest,
  StatFileRequest,
  WatchFilesRequest,
  WatchFilesResponse,
  WriteFileOpen,
} from "../../gen/agent/v1/agent.js";
import type { Stage } from "./staged-parts.js";

/**
 * Files of a guest's sessions. Errors are the contract's. Calls that move no data have a limit of 20 s; the others one for
 * each message that they wait for. A stream that is left early, or whose signal aborts, is cancelled.
 */
export interface AgentFiles {
  stat(request: StatFileRequest, signal: AbortSignal): Promise<FileEntry>;
  list(request: ListFilesRequest, signal: AbortSignal): AsyncGenerator<ListFilesResponse, void>;
  read(request: ReadFileRequest, signal: AbortSignal): AsyncGenerator<ReadFileResponse, void>;
  /** Throws what the body throws; then, and when the call fails, there is nothing of it. */
  write(open: WriteFileOpen, body: AsyncIterable<Uint8Array>, stage: Stage, signal: AbortSignal): Promise<FileEntry>;
  makeDirectory(request: MakeDirectoryRequest, signal: AbortSignal): Promise<FileEntry>;
  move(request: MoveFileRequest, signal: AbortSignal): Promise<FileEntry>;
  remove(request: RemoveFileRequest, signal: AbortSignal): Promise<void>;
  /** Without a limit between its messages. */
  watch(request: WatchFilesRequest, signal: AbortSignal): AsyncGenerator<WatchFilesResponse, void>;
}
