import { RuntimeError } from "../../../base/errors.js";
import {
  FileServiceService,
  type FileServiceServer,
  type ReadFileRequest,
  type ReadFileResponse,
  type WatchFilesRequest,
  type WatchFilesResponse,
  type WriteFileOpen,
  type WriteFileRequest,
  type WriteFileResponse,
} from "../../../gen/sandboxes/v1/files.js";
import { dataMessage } from "../../../grpc/data-message.js";
import type { Files, FileScope } from "../../core/file.js";
import type { GrpcProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { readerIdleMs } from "../drained.js";
import { piecesOf } from "../pieces.js";
import { type Asked, type Calls, callsOf, usualLimitMs } from "./calls.js";
import { changeOf, entryMessage } from "./map/file.js";
import { given, wholeNumber } from "../given.js";

const usualList = 1000;
const longestList = 10_000;
const deepest = 64;
const usualDirectoryMode = 0o755;

/** ReadFileResponse.data. */
const dataField = 2;
const { readFile } = FileServiceService;
const withFastData = {
  ...FileServiceService,
  readFile: {
    ...readFile,
    responseSerialize: (response: ReadFileResponse): Buffer =>
      response.data === undefined ? readFile.responseSerialize(response) : dataMessage(dataField, response.data),
  },
};

/** `sandboxes.v1.FileService`: the files of a sandbox. */
export function fileService(parts: SandboxdParts): GrpcProtocol {
  return {
    service: withFastData,
    implementation: (who) => service(parts, callsOf(parts, who)),
  };
}

interface About {
  readonly sandboxId: string;
  readonly user: string;
}

interface Place {
  readonly files: Files;
  readonly scope: FileScope;
}

function placeOf({ sandboxes }: SandboxdParts, { sandboxId, user }: About, { caller, sandbox }: Asked): Place {
  const id = sandbox(sandboxId);
  // Where its commands begin, too; of a template that says none it is the image's.
  const { workingDir: base } = sandboxes.get(caller, id);
  return { files: sandboxes.files(caller, id), scope: { user, base } };
}

function service(parts: SandboxdParts, { unary, streams, collects }: Calls): FileServiceServer {
  return {
    statFile: unary("StatFile", usualLimitMs, async (request, asked) => {
      const { files, scope } = placeOf(parts, request, asked);
      return { entry: entryMessage(await files.stat(request.path, scope, request.follow, asked.signal)) };
    }),
    listFiles: unary("ListFiles", usualLimitMs, async (request, asked) => {
      const { files, scope } = placeOf(parts, request, asked);
      const limit = Math.min(request.limit === 0 ? usualList : request.limit, longestList);
      const depth = Math.min(Math.max(request.depth, 1), deepest);
      const list = await files.list(request.path, scope, { depth, limit }, asked.signal);
      const { directory, entries, truncated } = list;
      return { directory: entryMessage(directory), entries: entries.map(entryMessage), truncated };
    }),
    makeDirectory: unary("MakeDirectory", usualLimitMs, async (request, asked) => {
      const { files, scope } = placeOf(parts, request, asked);
      const mode = checkedMode(request.mode) ?? usualDirectoryMode;
      return { entry: entryMessage(await files.makeDirectory(request.path, scope, mode, asked.signal)) };
    }),
    moveFile: unary("MoveFile", usualLimitMs, async (request, asked) => {
      const { files, scope } = placeOf(parts, request, asked);
      return { entry: entryMessage(await files.move(request.from, request.to, scope, asked.signal)) };
    }),
    removeFile: unary("RemoveFile", usualLimitMs, async (request, asked) => {
      const { files, scope } = placeOf(parts, request, asked);
      await files.remove(request.path, scope, request.recursive, asked.signal);
      return {};
    }),
    watchFiles: streams("WatchFiles", (request, asked) => watched(placeOf(parts, request, asked), request, asked)),
    readFile: streams(
      "ReadFile",
      (request, asked) => read(placeOf(parts, request, asked), request, asked),
      readerIdleMs,
    ),
    writeFile: collects("WriteFile", (requests, asked) => written(parts, requests, asked)),
  };
}

/** Twelve bits, as chmod has them. */
function checkedMode(mode: number | undefined): number | undefined {
  if (mode !== undefined && mode > 0o7777)
    throw new RuntimeError("invalidArgument", `no file has mode ${String(mode)}`);
  return mode;
}

async function* watched(
  { files, scope }: Place,
  { path, recursive }: WatchFilesRequest,
  { signal }: Asked,
): AsyncGenerator<WatchFilesResponse, void> {
  const events = await files.watch(path, scope, recursive, signal);
  yield { started: {} };
  for await (const event of events) yield { changed: { change: changeOf(event), path: event.path } };
}

async function* read(
  { files, scope }: Place,
  request: ReadFileRequest,
  { signal }: Asked,
): AsyncGenerator<ReadFileResponse, void> {
  const length = request.length === undefined ? undefined : wholeNumber("length", request.length);
  const range = { offset: wholeNumber("offset", request.offset), ...given("length", length) };
  const { entry, data } = await files.read(request.path, scope, range, signal);
  yield { entry: entryMessage(entry) };
  for await (const bytes of data) for (const piece of piecesOf(bytes)) yield { data: piece };
}

async function written(
  parts: SandboxdParts,
  requests: AsyncIterator<WriteFileRequest>,
  asked: Asked,
): Promise<WriteFileResponse> {
  const open = await opened(requests);
  const { files, scope } = placeOf(parts, open, asked);
  const wanted = { ...given("mode", checkedMode(open.mode)), parents: open.parents };
  return { entry: entryMessage(await files.write(open.path, scope, bodyOf(requests), wanted, asked.signal)) };
}

async function opened(requests: AsyncIterator<WriteFileRequest>): Promise<WriteFileOpen> {
  const first = await requests.next();
  if (first.done === true || first.value.open === undefined) {
    throw new RuntimeError("invalidArgument", "the first message has no open");
  }
  return first.value.open;
}

/** A stream that is over without `end` was cut, whatever it looks like: what it has brought is not the file. */
async function* bodyOf(requests: AsyncIterator<WriteFileRequest>): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const next = await requests.next();
    if (next.done === true) throw new RuntimeError("canceled", "the stream ended without end");
    const { data, end } = next.value;
    if (end !== undefined) return;
    if (data === undefined) throw new RuntimeError("invalidArgument", "a message with neither data nor end");
    if (data.length > 0) yield data;
  }
}
