/** `/v1/files`: files below the sandbox's working directory. */
import { posix } from "node:path";
import { status } from "@grpc/grpc-js";
import {
  FileEntry,
  FileKind,
  ListFilesResponse,
  type ListFilesRequest,
  type ReadFileRequest,
  type ReadFileResponse,
  type WriteFileRequest,
} from "../../gen/sandboxes/v1/files.js";
import { WireError } from "../wire.js";
import { chunksOf, type HttpClient } from "./client.js";
import { onlyByGrpc, shown } from "./sandboxes.js";
import { Json } from "./shapes.js";

/** Of a sandbox whose template says no working directory. */
const usualRoot = "/workspace";

export class HttpFiles {
  readonly #http: HttpClient;
  readonly #roots = new Map<string, string>();

  constructor(http: HttpClient) {
    this.#http = http;
  }

  async stat({ sandboxId, path, user }: About, signal: AbortSignal): Promise<FileEntry> {
    const place = await this.#place({ sandboxId, path, user }, signal);
    if (place.relative === "") return directoryAt(place.root);
    const parent = posix.dirname(place.absolute);
    const { entries } = await this.list({ sandboxId, user, path: parent, depth: 1, limit: 0 }, signal);
    const entry = entries.find((one) => one.path === place.absolute);
    if (entry === undefined) throw new WireError(status.NOT_FOUND, `there is no ${path}`, false);
    return entry;
  }

  async list(request: ListFilesRequest, signal: AbortSignal): Promise<ListFilesResponse> {
    if (request.depth > 1) throw onlyByGrpc("more than one level of a list");
    const { sandboxId } = request;
    const place = await this.#place(request, signal);
    const answer = await this.#http.send({ method: "GET", path: place.url, sandboxId, signal });
    if (!/json/.test(answer.headers["content-type"] ?? "")) {
      answer.destroy();
      throw new WireError(status.INVALID_ARGUMENT, `${request.path} is no directory`, false);
    }
    const parts: Buffer[] = [];
    for await (const part of chunksOf(answer, signal)) parts.push(part);
    const json = new Json(JSON.parse(Buffer.concat(parts).toString()));
    const entries = json.list("entries").map((entry) => entryOf(entry, place.absolute));
    return ListFilesResponse.fromPartial({
      ...{ directory: directoryAt(place.absolute), entries, truncated: json.flag("truncated") },
    });
  }

  async remove(request: About & { readonly recursive: boolean }, signal: AbortSignal): Promise<void> {
    const { url } = await this.#place(request, signal);
    const path = `${url}?recursive=${String(request.recursive)}`;
    await this.#http.json({ method: "DELETE", path, sandboxId: request.sandboxId, signal });
  }

  async *read(request: ReadFileRequest, signal: AbortSignal): AsyncGenerator<ReadFileResponse, void> {
    const { sandboxId, offset } = request;
    const entry = await this.stat(request, signal);
    if (entry.kind === FileKind.DIRECTORY) {
      throw new WireError(status.INVALID_ARGUMENT, `${request.path} is a directory`, false);
    }
    yield { entry };
    if (offset >= entry.sizeBytes) return;
    const { url } = await this.#place(request, signal);
    const answer = await this.#http.send({
      ...{ method: "GET", path: url, sandboxId, signal },
      ...(offset === 0n ? {} : { range: `bytes=${String(offset)}-` }),
    });
    for await (const data of chunksOf(answer, signal)) yield { data };
  }

  async write(parts: AsyncIterable<WriteFileRequest>, signal: AbortSignal): Promise<FileEntry> {
    const iterator = parts[Symbol.asyncIterator]();
    const first = await iterator.next();
    const open = first.done === true ? undefined : first.value.open;
    if (open === undefined) throw new WireError(status.INVALID_ARGUMENT, "the first message has no open", false);
    const { url, absolute } = await this.#place(open, signal);
    const mode = open.mode === undefined ? "" : `?mode=0${open.mode.toString(8).padStart(3, "0")}`;
    const { sandboxId } = open;
    await this.#http.json({ method: "PUT", path: `${url}${mode}`, sandboxId, signal, body: dataOf(iterator) });
    return FileEntry.fromPartial({ name: posix.basename(absolute), path: absolute, kind: FileKind.FILE });
  }

  /** Its paths are all below the working directory, where gRPC has those of the whole sandbox: what is elsewhere is refused. */
  async #place({ sandboxId, path, user }: About, signal: AbortSignal): Promise<Place> {
    if (user !== "") throw onlyByGrpc("a file as another user");
    if (path === "~" || path.startsWith("~/")) throw onlyByGrpc("a file of the user's home");
    const root = this.#roots.get(sandboxId) ?? ((await shown(this.#http, sandboxId, signal)).workingDir || usualRoot);
    this.#roots.set(sandboxId, root);
    const absolute = posix.resolve(root, path);
    const relative = posix.relative(root, absolute);
    if (relative === ".." || relative.startsWith("../")) throw onlyByGrpc(`a file outside of ${root}`);
    return { root, absolute, relative, url: `/v1/files/${relative.split("/").map(encodeURIComponent).join("/")}` };
  }
}

interface About {
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
}

interface Place {
  readonly root: string;
  readonly absolute: string;
  readonly relative: string;
  readonly url: string;
}

function directoryAt(path: string): FileEntry {
  return FileEntry.fromPartial({ name: posix.basename(path), path, kind: FileKind.DIRECTORY });
}

function entryOf(json: Json, directory: string): FileEntry {
  const name = json.text("name");
  return FileEntry.fromPartial({
    ...{ name, path: posix.join(directory, name) },
    kind: json.text("type") === "directory" ? FileKind.DIRECTORY : FileKind.FILE,
    sizeBytes: BigInt(json.number("size")),
    mode: Number.parseInt(json.text("mode"), 8) || 0,
    modifiedAt: json.time("modified_at"),
  });
}

/** A source that ends without `end` is none that is whole. */
async function* dataOf(parts: AsyncIterator<WriteFileRequest>): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const next = await parts.next();
    if (next.done === true) throw new WireError(status.CANCELLED, "the file's source ended early", false);
    if (next.value.end !== undefined) return;
    if (next.value.data !== undefined) yield next.value.data;
  }
}
