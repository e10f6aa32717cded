/** Processes and files of a sandbox for one caller: what changes something leaves an audit line, and what goes on is a use. */
import type { Deed } from "./audit.js";
import type { Files } from "./file.js";
import type { Processes } from "./process.js";

export interface Watch {
  readonly audited: <T>(deed: Omit<Deed, "sandbox">, work: () => Promise<T>) => Promise<T>;
  /** For as long as it takes the sandbox is in use. */
  readonly used: <T>(work: () => Promise<T>) => Promise<T>;
  /** Begins a use; what is given ends it. */
  readonly begin: () => () => void;
}

export function watchedProcesses(inner: Processes, { audited, used, begin }: Watch): Processes {
  return {
    start: (wanted, signal) =>
      audited({ what: "start process", detail: wanted.args[0] ?? "" }, () => inner.start(wanted, signal)),
    get: (id) => inner.get(id),
    tagged: (tag) => inner.tagged(tag),
    startedBy: (startId, signal) => inner.startedBy(startId, signal),
    list: () => inner.list(),
    connect: (id, from, signal) => inUse(inner.connect(id, from, signal), begin),
    write: (id, data, signal) => used(() => inner.write(id, data, signal)),
    closeInput: (id, signal) => used(() => inner.closeInput(id, signal)),
    signal: (id, number, all, signal) =>
      audited({ what: "signal process", detail: `${String(id)}, ${String(number)}` }, () =>
        inner.signal(id, number, all, signal),
      ),
    resize: (id, size, signal) => used(() => inner.resize(id, size, signal)),
    forget: (id, signal) => audited({ what: "forget process", detail: String(id) }, () => inner.forget(id, signal)),
  };
}

export function watchedFiles(inner: Files, { audited, used, begin }: Watch): Files {
  return {
    stat: (path, scope, follow, signal) => inner.stat(path, scope, follow, signal),
    list: (path, scope, wanted, signal) => used(() => inner.list(path, scope, wanted, signal)),
    read: async (path, scope, range, signal) => {
      const { entry, data } = await inner.read(path, scope, range, signal);
      return { entry, data: inUse(data, begin) };
    },
    write: (path, scope, body, wanted, signal) =>
      audited({ what: "write file", detail: path }, () => used(() => inner.write(path, scope, body, wanted, signal))),
    makeDirectory: (path, scope, mode, signal) =>
      audited({ what: "make directory", detail: path }, () => inner.makeDirectory(path, scope, mode, signal)),
    move: (from, to, scope, signal) =>
      audited({ what: "move file", detail: `${from} to ${to}` }, () => inner.move(from, to, scope, signal)),
    remove: (path, scope, recursive, signal) =>
      audited({ what: "remove file", detail: path }, () => inner.remove(path, scope, recursive, signal)),
    watch: async (path, scope, recursive, signal) => inUse(await inner.watch(path, scope, recursive, signal), begin),
  };
}

/** From the first that is asked for to the last. */
async function* inUse<T>(items: AsyncIterable<T>, begin: () => () => void): AsyncGenerator<T> {
  const end = begin();
  try {
    yield* items;
  } finally {
    end();
  }
}
