import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter, on } from "node:events";
import { constants } from "node:os";
import { resolve as resolvePath } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import type {
  OutputFrom,
  OutputPart,
  ProcessEvent,
  ProcessExit,
  Processes,
  ProcessNumber,
  ProcessView,
  ProcessWanted,
  TerminalWanted,
} from "../../../src/sandboxes/core/process.js";

interface Held {
  view: ProcessView;
  readonly child: ChildProcess;
  readonly parts: OutputPart[];
  readonly changed: EventEmitter;
  length: number;
  seen: number;
  size?: TerminalWanted;
  timedOut: boolean;
}

/** Programs of the host, as `Processes` has them; a terminal is a pipe here. */
export class DoubleProcesses implements Processes {
  readonly #home: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #all = new Map<ProcessNumber, Held>();
  /** Programs that are said not to be there. */
  missing: readonly string[] = [];

  constructor(home: string, env: Readonly<Record<string, string>>) {
    this.#home = home;
    this.#env = env;
  }

  close(): void {
    for (const { child } of this.#all.values()) child.kill("SIGKILL");
  }

  async start(wanted: ProcessWanted): Promise<ProcessView> {
    const { startId } = wanted;
    if (startId !== undefined) {
      const known = this.list().find((view) => view.wanted.startId === startId);
      if (known !== undefined) return known;
    }
    const [program = "", ...args] = wanted.args;
    if (this.missing.includes(program)) throw new RuntimeError("notFound", `${program}: no such program`);
    const env = { ...process.env, HOME: this.#home, ...this.#env, ...wanted.env };
    const cwd = resolvePath(this.#home, wanted.workingDir);
    const child = spawn(program, args, { cwd, env, stdio: "pipe" });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) => {
        reject(new RuntimeError("notFound", `${program}: no such program, or no directory ${cwd}`, { cause }));
      });
    });
    if (!wanted.stdin && wanted.terminal === undefined) child.stdin.end();
    child.stdin.on("error", () => undefined);
    const id = this.#all.size + 1;
    const view = { id, wanted, startedAtMs: Date.now() };
    const changed = new EventEmitter().setMaxListeners(0);
    const held: Held = { view, child, parts: [], changed, length: 0, seen: 0, timedOut: false };
    this.#all.set(id, held);
    follow(held);
    return view;
  }

  get(id: ProcessNumber): ProcessView {
    return this.#find(id).view;
  }

  tagged(tag: string): ProcessView {
    const found = [...this.#all.values()].reverse().find(({ view }) => view.wanted.tag === tag);
    if (found === undefined) throw new RuntimeError("notFound", `no process ${tag}`);
    return found.view;
  }

  startedBy(startId: string): Promise<ProcessView> {
    const found = [...this.#all.values()].find(({ view }) => view.wanted.startId === startId);
    if (found === undefined) return Promise.reject(new RuntimeError("notFound", `no process of ${startId}`));
    return Promise.resolve(found.view);
  }

  list(): readonly ProcessView[] {
    return [...this.#all.values()].map(({ view }) => view);
  }

  async *connect(id: ProcessNumber, from: OutputFrom, signal: AbortSignal): AsyncGenerator<ProcessEvent> {
    const held = this.#find(id);
    let offset = typeof from === "object" ? from.offset : { start: 0, unseen: held.seen, now: held.length }[from];
    const changes = on(held.changed, "change", { signal });
    for (;;) {
      for (const part of held.parts.filter((one) => one.offset + one.data.length > offset)) {
        const data = part.data.subarray(Math.max(offset - part.offset, 0));
        offset = part.offset + part.data.length;
        held.seen = Math.max(held.seen, offset);
        yield { kind: "output", stream: part.stream, data, offset: offset - data.length };
      }
      // More may have come while the reader had the last.
      if (held.parts.some((one) => one.offset + one.data.length > offset)) continue;
      if (held.view.exit !== undefined) break;
      await changes.next();
    }
    yield { kind: "exit", exit: held.view.exit };
  }

  async write(id: ProcessNumber, data: Uint8Array): Promise<void> {
    const { stdin } = this.#running(id).child;
    if (stdin?.writable !== true) throw new RuntimeError("failedPrecondition", "it takes no input");
    await new Promise<void>((resolve) =>
      stdin.write(data, () => {
        resolve();
      }),
    );
  }

  closeInput(id: ProcessNumber): Promise<void> {
    this.#find(id).child.stdin?.end();
    return Promise.resolve();
  }

  signal(id: ProcessNumber, number: number): Promise<void> {
    this.#running(id).child.kill(number);
    return Promise.resolve();
  }

  resize(id: ProcessNumber, size: TerminalWanted): Promise<void> {
    const held = this.#running(id);
    if (held.view.wanted.terminal === undefined) {
      return Promise.reject(new RuntimeError("failedPrecondition", "it has no terminal"));
    }
    held.size = size;
    return Promise.resolve();
  }

  forget(id: ProcessNumber): Promise<void> {
    this.#all.get(id)?.child.kill("SIGKILL");
    this.#all.delete(id);
    return Promise.resolve();
  }

  #find(id: ProcessNumber): Held {
    const held = this.#all.get(id);
    if (held === undefined) throw new RuntimeError("notFound", `no process ${id}`);
    return held;
  }

  #running(id: ProcessNumber): Held {
    const held = this.#find(id);
    if (held.view.exit !== undefined) throw new RuntimeError("notFound", `process ${id} has ended`);
    return held;
  }
}

function follow(held: Held): void {
  const { child, view } = held;
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream]?.on("data", (data: Buffer) => {
      held.parts.push({ stream, data, offset: held.length });
      held.length += data.length;
      held.changed.emit("change");
    });
  }
  const { limitMs } = view.wanted;
  const timer = setTimeout(
    () => {
      held.timedOut = true;
      child.kill("SIGKILL");
    },
    limitMs === 0 ? 2 ** 31 - 1 : limitMs,
  );
  child.once("close", (code, signal) => {
    clearTimeout(timer);
    held.view = { ...view, exit: exitOf(code, signal, held.timedOut) };
    held.changed.emit("change");
  });
}

function exitOf(code: number | null, name: NodeJS.Signals | null, timedOut: boolean): ProcessExit {
  const signal = name === null ? 0 : constants.signals[name];
  return { code: code ?? 128 + signal, signal, atMs: Date.now(), timedOut };
}
