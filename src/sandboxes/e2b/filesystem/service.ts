/** filesystem.Filesystem, as E2B's clients call it. */
import { codeOf, RuntimeError } from "../../../base/errors.js";
import { serverStream, unary, type Call, type Method } from "../connect/method.js";
import { scopeOf } from "../metadata.js";
import { entryInfo, mostFollowed, plainInfo, type EntryInfo } from "./entry.js";
import { listDirRequest, moveRequest, pathRequest, watcherRequest, watchRequest } from "./messages.js";
import { watched } from "./watch.js";
import type { Watchers } from "./watchers.js";

/** Of one list: it is one message. */
const mostEntries = 10_000;
const directoryMode = 0o755;
const keepalive = { keepalive: {} };

export function filesystemMethods(watchers: Watchers): Readonly<Record<string, Method>> {
  return {
    Stat: unary(pathRequest, async (call, { path }) => {
      const scope = scopeOf(call.user);
      const entry = await call.files.stat(path, scope, false, call.signal);
      return { entry: await entryInfo(entry, call.files, scope, call.signal) };
    }),
    MakeDir: unary(pathRequest, async (call, { path }) => {
      const entry = await call.files.makeDirectory(path, scopeOf(call.user), directoryMode, call.signal);
      return { entry: plainInfo(entry) };
    }),
    Move: unary(moveRequest, async (call, { source, destination }) => {
      const entry = await call.files.move(source, destination, scopeOf(call.user), call.signal);
      return { entry: plainInfo(entry) };
    }),
    ListDir: unary(listDirRequest, async (call, message) => ({ entries: await listed(call, message) })),
    Remove: unary(pathRequest, async (call, { path }) => {
      try {
        await call.files.remove(path, { user: call.user }, true, call.signal);
      } catch (thrown) {
        if (codeOf(thrown) !== "notFound") throw thrown;
      }
      return {};
    }),
    WatchDir: serverStream(watchRequest, watched, keepalive),
    CreateWatcher: unary(watchRequest, async (call, message) => {
      const place = { sandbox: call.view.id, files: call.files, user: call.user };
      return { watcherId: await watchers.create(place, message, call.signal) };
    }),
    GetWatcherEvents: unary(watcherRequest, ({ view }, { watcherId }) =>
      Promise.resolve({ events: watchers.take(view.id, watcherId) }),
    ),
    RemoveWatcher: unary(watcherRequest, ({ view }, { watcherId }) => {
      watchers.remove(view.id, watcherId);
      return Promise.resolve({});
    }),
  };
}

async function listed(call: Call, { path, depth }: { path: string; depth: number }): Promise<EntryInfo[]> {
  const scope = scopeOf(call.user);
  const list = await call.files.list(path, scope, { depth, limit: mostEntries }, call.signal);
  if (list.truncated) {
    throw new RuntimeError("resourceExhausted", `more than ${mostEntries} entries`, { hint: "list with less depth" });
  }
  let left = mostFollowed;
  const infos: EntryInfo[] = [];
  for (const entry of list.entries) {
    if (entry.kind === "link") left -= 1;
    infos.push(left < 0 ? plainInfo(entry) : await entryInfo(entry, call.files, scope, call.signal));
  }
  return infos;
}
