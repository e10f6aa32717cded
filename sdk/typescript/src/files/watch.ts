import { status } from "@grpc/grpc-js";
import type { Call, Connection } from "../connection.js";
import { UnavailableError } from "../errors.js";
import { FileChange, FileServiceService as service, WatchFilesRequest } from "../gen/sandboxes/v1/files.js";
import { WireError } from "../wire/wire.js";

export const FilesystemEventType = {
  CREATE: "create",
  WRITE: "write",
  REMOVE: "remove",
  RENAME: "rename",
  CHMOD: "chmod",
} as const;
export type FilesystemEventType = (typeof FilesystemEventType)[keyof typeof FilesystemEventType];

export interface FilesystemEvent {
  /** Relative to the watched directory. */
  readonly name: string;
  readonly type: FilesystemEventType;
}

const types: Partial<Record<FileChange, FilesystemEventType>> = {
  [FileChange.CREATE]: FilesystemEventType.CREATE,
  [FileChange.WRITE]: FilesystemEventType.WRITE,
  [FileChange.REMOVE]: FilesystemEventType.REMOVE,
  [FileChange.RENAME]: FilesystemEventType.RENAME,
  [FileChange.CHMOD]: FilesystemEventType.CHMOD,
};

export interface Watching {
  readonly connection: Connection;
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
  readonly recursive: boolean;
  readonly call: Call;
}

/** From the moment it resolves on nothing is missed; `stop` ends the events. A connection that breaks ends them with an error. */
export async function startWatch(
  watching: Watching,
  stop: AbortController,
): Promise<AsyncGenerator<FilesystemEvent, void>> {
  const { connection, call, sandboxId, path, user, recursive } = watching;
  const request = WatchFilesRequest.fromPartial({ sandboxId, path, user, recursive });
  return await connection.limited(call, async (signal) => {
    const abort = (): void => {
      stop.abort(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    const attempts = connection.attempts(call, stop.signal);
    try {
      for (;;) {
        const events = connection.stream(service.watchFiles, request, stop.signal)[Symbol.asyncIterator]();
        try {
          await events.next(); // `started`
          return told(events, watching, stop.signal);
        } catch (thrown) {
          await attempts.again(thrown);
        }
      }
    } finally {
      signal.removeEventListener("abort", abort);
    }
  });
}

async function* told(
  events: AsyncIterator<{ readonly changed?: { readonly change: FileChange; readonly path: string } | undefined }>,
  { connection, call }: Watching,
  stop: AbortSignal,
): AsyncGenerator<FilesystemEvent, void> {
  const { stage, sandboxId } = call;
  try {
    for (;;) {
      const next = await events.next();
      if (next.done === true) break;
      const { changed } = next.value;
      const type = changed === undefined ? undefined : types[changed.change];
      if (changed !== undefined && type !== undefined) yield { name: changed.path, type };
    }
    throw new WireError(status.UNAVAILABLE, "the watch ended", false);
  } catch (thrown) {
    if (stop.aborted) return;
    if (!(thrown instanceof WireError && thrown.isDrop)) throw await connection.explain(thrown, call);
    const words = "the connection broke: changes may have been missed (look at the directory, and watch it again)";
    throw new UnavailableError(words, { stage, sandboxId, cause: thrown });
  } finally {
    await events.return?.();
  }
}

/** Of a directory that is watched. */
export class WatchHandle {
  readonly #stop: AbortController;

  constructor(
    events: AsyncIterable<FilesystemEvent>,
    stop: AbortController,
    onEvent: (event: FilesystemEvent) => void | Promise<void>,
    onExit: ((error?: Error) => void | Promise<void>) | undefined,
  ) {
    this.#stop = stop;
    void tellAll(events, stop, onEvent, onExit);
  }

  /** No event is told from now on. */
  stop(): Promise<void> {
    this.#stop.abort();
    return Promise.resolve();
  }
}

async function tellAll(
  events: AsyncIterable<FilesystemEvent>,
  stop: AbortController,
  onEvent: (event: FilesystemEvent) => void | Promise<void>,
  onExit: ((error?: Error) => void | Promise<void>) | undefined,
): Promise<void> {
  let failure: Error | undefined;
  try {
    for await (const event of events) {
      if (stop.signal.aborted) break;
      await onEvent(event);
    }
  } catch (thrown) {
    failure = thrown instanceof Error ? thrown : new Error(String(thrown));
  }
  stop.abort();
  // Who says nothing about its end is told nothing; what that throws has nobody else to go to.
  await onExit?.(failure);
}
