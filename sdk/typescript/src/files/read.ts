/** A file's bytes, over connections that break: from the byte after the last one, as long as it is the same file. */
import { Deadline, reasonOf } from "../deadline.js";
import type { Call, Connection } from "../connection.js";
import { UnavailableError } from "../errors.js";
import { FileServiceService as service, ReadFileRequest, type FileEntry } from "../gen/sandboxes/v1/files.js";

const usualIdleMs = 60_000;

export interface Reading {
  readonly connection: Connection;
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
  readonly call: Call;
}

/** `idleMs`: so long may the runtime send nothing; how long the reader takes does not count. */
export async function* readFile(reading: Reading, idleMs: number | undefined): AsyncGenerator<Uint8Array, void> {
  const { connection, call } = reading;
  const stop = new AbortController();
  const attempts = connection.attempts(call, stop.signal);
  let offset = 0;
  let seen: FileEntry | undefined;
  const { stage, sandboxId: id } = call;
  const outer = new Deadline(call.opts?.requestTimeoutMs ?? 0, call.opts?.signal, { stage, sandboxId: id });
  outer.signal.addEventListener("abort", () => {
    stop.abort(reasonOf(outer.signal));
  });
  if (outer.signal.aborted) stop.abort(reasonOf(outer.signal));
  try {
    for (;;) {
      try {
        const { sandboxId, path, user } = reading;
        const request = ReadFileRequest.fromPartial({ sandboxId, path, user, offset: BigInt(offset) });
        const parts = connection.stream(service.readFile, request, stop.signal);
        for await (const { entry, data } of inTime(parts, idleMs ?? usualIdleMs, stop, call)) {
          attempts.succeeded();
          if (entry !== undefined) seen = sameFile(seen, entry, call);
          if (data === undefined) continue;
          offset += data.length;
          yield data;
        }
        return;
      } catch (thrown) {
        await attempts.again(thrown);
      }
    }
  } finally {
    outer.clear();
    stop.abort();
  }
}

/** What was read before and what comes now belong together. */
function sameFile(seen: FileEntry | undefined, entry: FileEntry, { stage, sandboxId }: Call): FileEntry {
  const isSame =
    seen === undefined ||
    (seen.sizeBytes === entry.sizeBytes && seen.modifiedAt?.getTime() === entry.modifiedAt?.getTime());
  if (isSame) return entry;
  const words = "the connection broke, and the file has changed meanwhile (read it again)";
  throw new UnavailableError(words, { stage, sandboxId });
}

async function* inTime<T>(
  parts: AsyncIterable<T>,
  idleMs: number,
  stop: AbortController,
  { stage, sandboxId }: Call,
): AsyncGenerator<T, void> {
  const iterator = parts[Symbol.asyncIterator]();
  const limit = new Deadline(idleMs, undefined, { stage, sandboxId });
  limit.signal.addEventListener("abort", () => {
    stop.abort(limit.signal.reason);
  });
  try {
    for (;;) {
      limit.restart();
      const next = await iterator.next();
      limit.pause(); // how long the reader takes is not the runtime's time
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    limit.clear();
    await iterator.return?.();
  }
}
