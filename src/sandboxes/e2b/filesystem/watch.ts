import { join } from "node:path/posix";
import { RuntimeError } from "../../../base/errors.js";
import type { FileEvent, FileScope, Files } from "../../core/file.js";
import { limited, type Call } from "../connect/method.js";
import { scopeOf } from "../metadata.js";
import { entryInfo } from "./entry.js";
import type { WatchRequest } from "./messages.js";

const types = {
  create: "EVENT_TYPE_CREATE",
  write: "EVENT_TYPE_WRITE",
  remove: "EVENT_TYPE_REMOVE",
  rename: "EVENT_TYPE_RENAME",
  chmod: "EVENT_TYPE_CHMOD",
} as const;

export interface FilesystemEvent {
  readonly name: string;
  readonly type: string;
  readonly entry?: unknown;
}

/** The stream of WatchDir: it has begun when its first message is there. */
export async function* watched(call: Call, message: WatchRequest): AsyncGenerator {
  const scope = scopeOf(call.user);
  const events = limited(call, async function* (signal) {
    const all = await call.files.watch(message.path, scope, message.recursive, signal);
    yield { start: {} };
    for await (const event of all) {
      yield { filesystem: await eventOf(event, message, call.files, scope, signal) };
    }
  });
  yield* events;
}

export async function eventOf(
  { kind, path }: FileEvent,
  { path: directory, includeEntry }: WatchRequest,
  files: Files,
  scope: FileScope,
  signal: AbortSignal,
): Promise<FilesystemEvent> {
  const event = { name: path, type: types[kind] };
  if (!includeEntry || kind === "remove" || kind === "rename") return event;
  try {
    const entry = await files.stat(join(directory, path), scope, false, signal);
    return { ...event, entry: await entryInfo(entry, files, scope, signal) };
  } catch (thrown) {
    // It may be gone since: the event is true all the same.
    if (signal.aborted || !(thrown instanceof RuntimeError)) throw thrown;
    return event;
  }
}
