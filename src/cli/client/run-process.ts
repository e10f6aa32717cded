/** A program in a sandbox with this terminal, or these pipes, at its ends. */
import { constants } from "node:os";
import { RuntimeError } from "../../base/errors.js";
import {
  OutputStream,
  ProcessServiceService as service,
  type ConnectProcessRequest,
  type ProcessEvent,
  type StartProcessRequest,
} from "../../gen/sandboxes/v1/processes.js";
import type { Edge } from "./connect.js";

const inputBytes = 32 * 1024;
/** Ctrl-C so often ends the program however it takes it. */
const insistentAt = 3;

/** Of one program: which sandbox it is in, and its number there once it runs. */
interface Running {
  readonly edge: Edge;
  readonly sandboxId: string;
  id: number | undefined;
}

/**
 * Runs a program and answers its exit status. What is typed goes to it when `interactive` says so; with a terminal it is as
 * wide as this one, and Ctrl-C is a character; without one Ctrl-C and SIGTERM are passed on as signals.
 */
export async function runProcess(
  edge: Edge,
  start: StartProcessRequest,
  interactive: boolean,
  started?: () => void,
): Promise<number> {
  const running: Running = { edge, sandboxId: start.sandboxId, id: undefined };
  const withSize = start.terminal === undefined ? start : { ...start, terminal: sizeHere() };
  const events = edge.events(service.runProcess, { start: withSize });
  return await follow(running, events, { interactive, isTerminal: start.terminal !== undefined, started });
}

/** Takes up a program that runs, or has ended, with what it has written. */
export async function followProcess(edge: Edge, request: ConnectProcessRequest, signal?: AbortSignal): Promise<number> {
  const running: Running = { edge, sandboxId: request.sandboxId, id: undefined };
  const events = edge.events(service.connectProcess, request, signal);
  return await show(running, events);
}

interface Following {
  readonly interactive: boolean;
  readonly isTerminal: boolean;
  readonly started: (() => void) | undefined;
}

async function follow(
  running: Running,
  events: AsyncIterable<{ event?: ProcessEvent | undefined }>,
  { interactive, isTerminal, started }: Following,
): Promise<number> {
  const undo: (() => void)[] = [];
  try {
    return await show(running, events, () => {
      started?.();
      if (interactive) undo.push(feed(running, isTerminal));
      undo.push(isTerminal ? followSize(running) : passSignals(running));
    });
  } finally {
    for (const step of undo.reverse()) step();
  }
}

/** Writes what comes to standard output and error, at their speed. */
async function show(
  running: Running,
  events: AsyncIterable<{ event?: ProcessEvent | undefined }>,
  started?: () => void,
): Promise<number> {
  for await (const { event } of events) {
    if (event?.process !== undefined) {
      running.id = event.process.id;
      started?.();
    } else if (event?.output !== undefined) {
      const { stream, data } = event.output;
      await write(stream === OutputStream.STDERR ? process.stderr : process.stdout, data);
    } else if (event?.lost !== undefined) {
      process.stderr.write(`a3s-box: ${String(event.lost.bytes)} bytes of output were not kept\n`);
    } else if (event?.exit !== undefined) {
      return event.exit.code;
    }
  }
  throw new RuntimeError("unavailable", "the connection ended before the program", {
    hint: "`a3s-box logs -f` takes it up again",
  });
}

/** At its reader's speed; throws when there is none any more. */
export async function write(stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> {
  if (stream.destroyed) throw new RuntimeError("canceled", "nobody reads the output any more");
  if (stream.write(data)) return;
  await new Promise<void>((resolve) => {
    const over = (): void => {
      stream.off("drain", over).off("close", over);
      resolve();
    };
    stream.on("drain", over).on("close", over);
  });
}

/** What is typed, in its order, at the program's speed. */
function feed(running: Running, isTerminal: boolean): () => void {
  const { stdin } = process;
  if (isTerminal && stdin.isTTY) stdin.setRawMode(true);
  void (async () => {
    try {
      for await (const chunk of stdin as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length; at += inputBytes) {
          const data = chunk.subarray(at, at + inputBytes);
          await running.edge.call(service.sendInput, { ...selected(running), data });
        }
      }
      await running.edge.call(service.closeInput, selected(running));
    } catch {
      // It has ended, or has closed its input: the rest is nobody's.
    }
  })();
  return () => {
    if (isTerminal && stdin.isTTY) stdin.setRawMode(false);
    stdin.destroy();
  };
}

function followSize(running: Running): () => void {
  const resized = (): void => {
    const request = { ...selected(running), terminal: sizeHere() };
    running.edge.call(service.resizeTerminal, request).catch(() => undefined);
  };
  process.stdout.on("resize", resized);
  return () => process.stdout.off("resize", resized);
}

function passSignals(running: Running): () => void {
  let times = 0;
  const names = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const;
  const pass = (name: (typeof names)[number]): void => {
    times += 1;
    const signal = times < insistentAt ? constants.signals[name] : constants.signals.SIGKILL;
    running.edge.call(service.signalProcess, { ...selected(running), signal, all: true }).catch(() => undefined);
  };
  for (const name of names) process.on(name, pass);
  return () => {
    for (const name of names) process.off(name, pass);
  };
}

function selected({ sandboxId, id }: Running) {
  return { sandboxId, process: { id, tag: undefined } };
}

function sizeHere(): { columns: number; rows: number } {
  const { columns, rows } = process.stdout;
  return { columns: columns > 0 ? columns : 80, rows: rows > 0 ? rows : 24 };
}
