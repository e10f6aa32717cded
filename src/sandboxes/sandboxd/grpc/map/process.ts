import { RuntimeError } from "../../../../base/errors.js";
import {
  type ConnectProcessRequest,
  OutputStream,
  type Process,
  type ProcessEvent as ProcessMessage,
  type ProcessExit as ExitMessage,
  type ProcessSelector,
  type StartProcessRequest,
} from "../../../../gen/sandboxes/v1/processes.js";
import type {
  OutputFrom,
  ProcessEvent,
  ProcessExit,
  ProcessNumber,
  Processes,
  ProcessView,
  ProcessWanted,
  TerminalWanted,
} from "../../../core/process.js";
import { piecesOf } from "../../pieces.js";
import { wholeNumber } from "../../given.js";

const largestSize = 65_535;

export function checkedSize(columns: number, rows: number): TerminalWanted {
  const fits = (size: number): boolean => size >= 1 && size <= largestSize;
  if (!fits(columns) || !fits(rows)) {
    throw new RuntimeError("invalidArgument", `no terminal has ${String(columns)} columns and ${String(rows)} rows`);
  }
  return { columns, rows };
}

export function processWanted(request: StartProcessRequest): ProcessWanted {
  const { args, env, workingDir, user, terminal, stdin, tag, startId, limitMs } = request;
  if (args.length === 0 || args[0] === "") throw new RuntimeError("invalidArgument", "args is empty");
  return {
    args,
    env,
    workingDir,
    user,
    ...(terminal === undefined ? {} : { terminal: checkedSize(terminal.columns, terminal.rows) }),
    stdin,
    tag,
    ...(startId === "" ? {} : { startId }),
    limitMs: wholeNumber("limit_ms", limitMs),
  };
}

export async function selected(
  processes: Processes,
  selector: ProcessSelector | undefined,
  signal: AbortSignal,
): Promise<ProcessNumber> {
  if (selector?.id !== undefined) return selector.id;
  if (selector?.tag !== undefined) return processes.tagged(selector.tag).id;
  if (selector?.startId !== undefined) return (await processes.startedBy(selector.startId, signal)).id;
  throw new RuntimeError("invalidArgument", "which process? none of id, tag and start_id is set");
}

export function outputFrom(request: ConnectProcessRequest): OutputFrom {
  if (request.unseen !== undefined) return "unseen";
  if (request.now !== undefined) return "now";
  return request.offset === undefined ? "start" : { offset: wholeNumber("offset", request.offset) };
}

export function processMessage(view: ProcessView): Process {
  const { args, workingDir, user, tag, terminal } = view.wanted;
  return {
    id: view.id,
    args: [...args],
    workingDir,
    user,
    tag,
    terminal: terminal === undefined ? undefined : { ...terminal },
    startedAt: new Date(view.startedAtMs),
    exit: view.exit === undefined ? undefined : exitMessage(view.exit),
  };
}

function exitMessage({ code, signal, atMs, timedOut }: ProcessExit): ExitMessage {
  return { code, signal, at: new Date(atMs), timedOut };
}

/** Output in messages of a bounded size, each with its own offset. */
export function* eventMessages(event: ProcessEvent): Generator<ProcessMessage> {
  switch (event.kind) {
    case "output": {
      let offset = event.offset;
      const stream = event.stream === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR;
      for (const data of piecesOf(event.data)) {
        yield { output: { stream, data, offset: BigInt(offset) } };
        offset += data.length;
      }
      return;
    }
    case "lost":
      yield { lost: { bytes: BigInt(event.bytes) } };
      return;
    case "exit":
      yield { exit: exitMessage(event.exit) };
  }
}
