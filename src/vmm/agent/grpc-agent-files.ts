import { Metadata } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import {
  AgentServiceService as agent,
  type FileEntry,
  type ListFilesRequest,
  type ListFilesResponse,
  type MakeDirectoryRequest,
  type MoveFileRequest,
  type ReadFileRequest,
  type ReadFileResponse,
  type RemoveFileRequest,
  type StatFileRequest,
  type WatchFilesRequest,
  type WatchFilesResponse,
  type WriteFileOpen,
  type WriteFileRequest,
} from "../../gen/agent/v1/agent.js";
import { dataMessage } from "../../grpc/data-message.js";
import type { AgentFiles } from "./agent-files.js";
import { answersOf } from "./answers-of.js";
import type { CallScope } from "./call-scope.js";
import type { CheckedMethods } from "./checked-methods.js";
import type { Stage } from "./staged-parts.js";
import { Upload } from "./upload.js";
import { unary, type StartCall } from "./unary.js";

const callMs = 20_000;
/** A guest may be busy, its disk too; but this long without a byte it is stuck. */
const stallMs = 60_000;

/** WriteFileRequest.data of the contract. */
const dataField = 2;
const writeFile = {
  ...agent.writeFile,
  requestSerialize: (request: WriteFileRequest): Buffer =>
    request.open === undefined && !request.end && request.data.length > 0
      ? dataMessage(dataField, request.data)
      : agent.writeFile.requestSerialize(request),
};

export class GrpcAgentFiles implements AgentFiles {
  readonly #methods: CheckedMethods;
  readonly #scope: CallScope;

  constructor(methods: CheckedMethods, scope: CallScope) {
    this.#methods = methods;
    this.#scope = scope;
  }

  async stat(request: StatFileRequest, signal: AbortSignal): Promise<FileEntry> {
    const name = "stat file";
    return entryIn(name, await this.#call(name, signal, this.#methods.unary(agent.statFile, request)));
  }

  list(request: ListFilesRequest, signal: AbortSignal): AsyncGenerator<ListFilesResponse, void> {
    const open = () => this.#methods.serverStream(agent.listFiles, request);
    return answersOf(this.#scope, { name: "list files", stallMs }, signal, open);
  }

  read(request: ReadFileRequest, signal: AbortSignal): AsyncGenerator<ReadFileResponse, void> {
    const open = () => this.#methods.serverStream(agent.readFile, request);
    return answersOf(this.#scope, { name: "read file", stallMs }, signal, open);
  }

  async write(
    open: WriteFileOpen,
    body: AsyncIterable<Uint8Array>,
    stage: Stage,
    signal: AbortSignal,
  ): Promise<FileEntry> {
    const upload = new Upload(this.#scope, signal, stage, () => this.#methods.duplex(writeFile, new Metadata()));
    return await upload.run(open, body);
  }

  async makeDirectory(request: MakeDirectoryRequest, signal: AbortSignal): Promise<FileEntry> {
    const name = "make directory";
    return entryIn(name, await this.#call(name, signal, this.#methods.unary(agent.makeDirectory, request)));
  }

  async move(request: MoveFileRequest, signal: AbortSignal): Promise<FileEntry> {
    const name = "move file";
    return entryIn(name, await this.#call(name, signal, this.#methods.unary(agent.moveFile, request)));
  }

  async remove(request: RemoveFileRequest, signal: AbortSignal): Promise<void> {
    await this.#call("remove file", signal, this.#methods.unary(agent.removeFile, request));
  }

  watch(request: WatchFilesRequest, signal: AbortSignal): AsyncGenerator<WatchFilesResponse, void> {
    const open = () => this.#methods.serverStream(agent.watchFiles, request);
    return answersOf(this.#scope, { name: "watch files", stallMs: null }, signal, open);
  }

  async #call<Res>(name: string, signal: AbortSignal, start: StartCall<Res>): Promise<Res> {
    return await unary(this.#scope, { name, limitMs: callMs, waitForReady: false }, signal, start);
  }
}

function entryIn(name: string, { entry }: { readonly entry?: FileEntry | undefined }): FileEntry {
  if (entry === undefined) throw new RuntimeError("internal", "no entry", { stage: `agent ${name}` });
  return entry;
}
