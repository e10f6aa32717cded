import { RuntimeError } from "../../base/errors.js";
import type { Container } from "../../runtime/container/container.js";
import { requireRunning } from "../../runtime/exec/exec-process.js";
import { oomScoreAdj } from "../../runtime/spec/resources.js";
import type { FileScope as AgentScope } from "../../gen/agent/v1/agent.js";
import type { PodId } from "../../base/ids.js";
import type { AgentFiles } from "../../vmm/agent/agent-files.js";
import type { Box } from "../../vmm/box.js";
import type {
  ByteRange,
  FileBody,
  FileEntry,
  FileEvent,
  FileList,
  Files,
  FileScope,
  ListWanted,
  WriteWanted,
} from "./file.js";
import {
  agentAttributes,
  checkedMode,
  checkedPath,
  checkedText,
  entryOf,
  eventOf,
  optionalPath,
} from "./file-messages.js";

/** More of them are not listed, whatever is asked for. */
const mostEntries = 100_000;
const deepest = 128;
const defaultMode = 0o644;

/** What is asked of a container; a `Container` is one. */
export type FilesContainer = Pick<Container, "id" | "sandboxId" | "state" | "resources"> & {
  readonly record: Pick<Container["record"], "process">;
};

/** Of a `Box`. */
type FilesBox = Pick<Box, "stageUpload"> & { readonly agent: { readonly files: AgentFiles } };

/** The engine's `Deps` are such. */
export interface FilesDeps {
  readonly sandboxes: {
    require(id: PodId): {
      liveBox(signal: AbortSignal): Promise<FilesBox>;
    };
  };
}

/** The files of a container, while it runs. */
export function filesOf(container: FilesContainer, deps: FilesDeps): Files {
  return new ContainerFiles(container, deps);
}

class ContainerFiles implements Files {
  readonly #container: FilesContainer;
  readonly #deps: FilesDeps;

  constructor(container: FilesContainer, deps: FilesDeps) {
    this.#container = container;
    this.#deps = deps;
  }

  async stat(path: string, scope: FileScope, follow: boolean, signal: AbortSignal): Promise<FileEntry> {
    const request = { scope: this.#scope(scope), path: checkedPath(path), follow };
    return entryOf(await (await this.#agent(signal)).stat(request, signal));
  }

  async list(path: string, scope: FileScope, wanted: ListWanted, signal: AbortSignal): Promise<FileList> {
    if (!(wanted.depth >= 1 && wanted.limit >= 1)) throw invalid("depth and limit of a list are 1 at least");
    const depth = Math.min(Math.floor(wanted.depth), deepest);
    const limit = Math.min(Math.floor(wanted.limit), mostEntries);
    const request = { scope: this.#scope(scope), path: checkedPath(path), depth, limit };
    const entries: FileEntry[] = [];
    let directory: FileEntry | undefined;
    for await (const part of (await this.#agent(signal)).list(request, signal)) {
      directory ??= part.directory === undefined ? undefined : entryOf(part.directory);
      if (directory === undefined) throw new RuntimeError("internal", "a list without its directory");
      const room = limit - entries.length;
      for (const entry of part.entries.slice(0, room)) entries.push(entryOf(entry));
      if (part.truncated || part.entries.length > room) return { directory, entries, truncated: true };
    }
    if (directory === undefined) throw new RuntimeError("internal", "a list without its directory");
    return { directory, entries, truncated: false };
  }

  async read(path: string, scope: FileScope, range: ByteRange, signal: AbortSignal): Promise<FileBody> {
    const offset = checkedCount(range.offset, "offset");
    const length = range.length === undefined ? undefined : checkedCount(range.length, "length");
    const request = { scope: this.#scope(scope), path: checkedPath(path), offset, length };
    const parts = (await this.#agent(signal)).read(request, signal);
    const first = await parts.next();
    if (first.done === true || first.value.entry === undefined) {
      throw new RuntimeError("internal", "a file without its entry", { stage: "read file" });
    }
    return { entry: entryOf(first.value.entry), data: dataOf(first.value.data, parts) };
  }

  async write(
    path: string,
    scope: FileScope,
    body: AsyncIterable<Uint8Array>,
    wanted: WriteWanted,
    signal: AbortSignal,
  ): Promise<FileEntry> {
    const mode = checkedMode(wanted.mode ?? defaultMode);
    const attributes = agentAttributes(wanted.attributes);
    const open = { scope: this.#scope(scope), path: checkedPath(path), mode, parents: wanted.parents, attributes };
    const box = await this.#box(signal);
    return entryOf(await box.agent.files.write(open, body, (given) => box.stageUpload(given), signal));
  }

  async makeDirectory(path: string, scope: FileScope, mode: number, signal: AbortSignal): Promise<FileEntry> {
    const request = { scope: this.#scope(scope), path: checkedPath(path), mode: checkedMode(mode) };
    return entryOf(await (await this.#agent(signal)).makeDirectory(request, signal));
  }

  async move(from: string, to: string, scope: FileScope, signal: AbortSignal): Promise<FileEntry> {
    const request = { scope: this.#scope(scope), from: checkedPath(from), to: checkedPath(to) };
    return entryOf(await (await this.#agent(signal)).move(request, signal));
  }

  async remove(path: string, scope: FileScope, recursive: boolean, signal: AbortSignal): Promise<void> {
    const request = { scope: this.#scope(scope), path: checkedPath(path), recursive };
    await (await this.#agent(signal)).remove(request, signal);
  }

  async watch(
    path: string,
    scope: FileScope,
    recursive: boolean,
    signal: AbortSignal,
  ): Promise<AsyncIterable<FileEvent>> {
    const request = { scope: this.#scope(scope), path: checkedPath(path), recursive };
    const parts = (await this.#agent(signal)).watch(request, signal);
    const first = await parts.next();
    if (first.done === true) throw new RuntimeError("internal", "no watch", { stage: "watch files" });
    return eventsOf(parts);
  }

  async #agent(signal: AbortSignal): Promise<AgentFiles> {
    return (await this.#box(signal)).agent.files;
  }

  async #box(signal: AbortSignal): Promise<FilesBox> {
    requireRunning(this.#container);
    return await this.#deps.sandboxes.require(this.#container.sandboxId).liveBox(signal);
  }

  /** Root in the container has what the container's programs may have at most. */
  #scope({ user, base, root, attributesWith }: FileScope): AgentScope {
    const { record, resources, id } = this.#container;
    const { cwd, user: init } = record.process;
    const { uid, gid, additionalGids } = init;
    return {
      sessionId: id,
      user: checkedText(user, "user"),
      uid,
      gid,
      groups: [...additionalGids],
      capabilities: [...record.process.capabilities.bounding],
      oomScoreAdj: oomScoreAdj(resources) ?? record.process.oomScoreAdj ?? 0,
      base: optionalPath(base === "" ? cwd : base),
      root: optionalPath(root),
      attributes: Buffer.from(attributesWith ?? ""),
    };
  }
}

async function* dataOf(
  first: Uint8Array,
  parts: AsyncGenerator<{ readonly data: Uint8Array }, void>,
): AsyncGenerator<Uint8Array, void> {
  if (first.length > 0) yield first;
  for await (const { data } of parts) if (data.length > 0) yield data;
}

async function* eventsOf(
  parts: AsyncGenerator<{ readonly events: readonly Parameters<typeof eventOf>[0][] }, void>,
): AsyncGenerator<FileEvent, void> {
  for await (const { events } of parts) {
    for (const event of events) {
      const known = eventOf(event);
      if (known !== undefined) yield known;
    }
  }
}

function checkedCount(count: number, what: string): bigint {
  if (Number.isSafeInteger(count) && count >= 0) return BigInt(count);
  throw invalid(`${what} ${String(count)} is not a number of bytes`);
}

function invalid(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", what);
}
