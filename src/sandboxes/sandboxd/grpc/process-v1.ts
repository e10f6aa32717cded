import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import {
  type ProcessConfig,
  ProcessServiceService,
  type ProcessServiceServer,
  type PTY,
  Signal,
  type StartResponse,
} from "../../../gen/process/v1/process.js";
import type { ProcessEvent, ProcessExit, Processes, ProcessWanted } from "../../core/process.js";
import type { GrpcProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { piecesOf } from "../pieces.js";
import { withinRoot } from "../root.js";
import { forgetLost } from "../../core/forget-lost.js";
import { longestOutput, lostOutput, runToEnd } from "../run-to-end.js";
import { type Asked, type Calls, callsOf, usualLimitMs } from "./calls.js";
import { checkedSize } from "./map/process.js";

/** `process.v1` of KEP-539.2 (reference: proto/process/v1). Its programs end with the call that has started them. */
export function processV1(parts: SandboxdParts): GrpcProtocol {
  return {
    service: ProcessServiceService,
    implementation: (who) => service(parts, callsOf(parts, who)),
  };
}

function service(parts: SandboxdParts, calls: Calls): ProcessServiceServer {
  const of = (asked: Asked): Processes => parts.sandboxes.processes(asked.caller, asked.sandbox(""));
  const live = (asked: Asked, id: number): Processes => {
    const processes = of(asked);
    if (processes.get(id).exit !== undefined) throw new RuntimeError("notFound", `process ${String(id)} has exited`);
    return processes;
  };
  return {
    start: calls.streams("process.v1/Start", ({ config, pty }, asked) => started(parts, config, pty, asked)),
    execute: calls.unary("process.v1/Execute", Number.POSITIVE_INFINITY, async ({ config }, asked) => {
      const { processes, wanted } = await checked(parts, config, undefined, false, asked);
      const options = { longest: longestOutput };
      const ran = await runToEnd(processes, wanted, options, parts.log, asked.signal).catch(refused);
      return { exitCode: exitCodeOf(ran.exit), stdout: ran.stdout, stderr: ran.stderr };
    }),
    writeStdin: calls.unary("process.v1/WriteStdin", Number.POSITIVE_INFINITY, async (request, asked) => {
      const { processId, input, eof } = request;
      if (input === undefined && eof === undefined) throw new RuntimeError("invalidArgument", "neither input nor eof");
      const processes = live(asked, processId);
      if (input !== undefined) await processes.write(processId, input, asked.signal);
      else if (takesInput(processes, processId)) await processes.closeInput(processId, asked.signal);
      else throw new RuntimeError("failedPrecondition", "the process has no standard input");
      return {};
    }),
    sendSignal: calls.unary("process.v1/SendSignal", usualLimitMs, async ({ processId, signal }, asked) => {
      const known: readonly number[] = [Signal.SIGINT, Signal.SIGKILL, Signal.SIGTERM];
      if (!known.includes(signal)) throw new RuntimeError("invalidArgument", `no signal ${String(signal)} here`);
      await live(asked, processId).signal(processId, signal, false, asked.signal);
      return {};
    }),
    resizeTty: calls.unary("process.v1/ResizeTTY", usualLimitMs, async ({ processId, cols, rows }, asked) => {
      await live(asked, processId).resize(processId, checkedSize(cols, rows), asked.signal);
      return {};
    }),
  };
}

/** The core, and the agent's words: a program that may not be executed is a wrong request there, and has a status here. */
function refused(thrown: unknown): never {
  if (codeOf(thrown) === "invalidArgument" && /\bPermission denied\b/.test(messageOf(thrown))) {
    throw new RuntimeError("permissionDenied", messageOf(thrown), { cause: thrown });
  }
  throw thrown;
}

function takesInput(processes: Processes, id: number): boolean {
  const { wanted } = processes.get(id);
  return wanted.stdin || wanted.terminal !== undefined;
}

async function* started(
  parts: SandboxdParts,
  config: ProcessConfig | undefined,
  pty: PTY | undefined,
  asked: Asked,
): AsyncGenerator<StartResponse, void> {
  const { processes, wanted } = await checked(parts, config, pty, true, asked);
  const { id } = await processes.start(wanted, asked.signal).catch(refused);
  try {
    yield { init: { processId: id } };
    for await (const event of processes.connect(id, "start", asked.signal)) yield* responsesOf(event);
    asked.signal.throwIfAborted();
  } finally {
    await forgetLost(processes, id, parts.log);
  }
}

function* responsesOf(event: ProcessEvent): Generator<StartResponse> {
  switch (event.kind) {
    case "output":
      for (const data of piecesOf(event.data)) yield event.stream === "stdout" ? { stdout: data } : { stderr: data };
      return;
    case "lost":
      throw lostOutput(event.bytes); // this protocol has no word for a hole
    case "exit":
      yield { exit: { exitCode: exitCodeOf(event.exit) } };
  }
}

function exitCodeOf(exit: ProcessExit): number {
  return exit.signal === 0 ? exit.code : -1;
}

async function checked(
  { sandboxes }: SandboxdParts,
  config: ProcessConfig | undefined,
  pty: PTY | undefined,
  stdin: boolean,
  { caller, signal, sandbox }: Asked,
): Promise<{ processes: Processes; wanted: ProcessWanted }> {
  const { command = [], envVars = {}, cwd = "" } = config ?? {};
  if (command.length === 0 || command[0] === "") throw new RuntimeError("invalidArgument", "the command is empty");
  const id = sandbox("");
  const view = sandboxes.get(caller, id);
  const wanted = {
    args: command,
    env: envVars,
    workingDir: cwd === "" ? "" : await directory(cwd),
    user: "",
    ...(pty === undefined ? {} : { terminal: checkedSize(pty.cols || 80, pty.rows || 24) }),
    stdin,
    tag: "",
    limitMs: 0,
  };
  return { processes: sandboxes.processes(caller, id), wanted };

  /** Links in it are resolved, so that it is where it says. */
  async function directory(path: string): Promise<string> {
    const entry = await sandboxes.files(caller, id).stat(path, withinRoot(view), true, signal);
    if (entry.kind !== "directory") throw new RuntimeError("invalidArgument", `${path} is no directory`);
    return entry.path;
  }
}
