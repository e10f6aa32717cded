import { RuntimeError } from "../../../base/errors.js";
import {
  type ConnectProcessResponse,
  type ProcessSelector,
  ProcessServiceService,
  type ProcessServiceServer,
} from "../../../gen/sandboxes/v1/processes.js";
import type { OutputFrom, ProcessNumber, Processes, ProcessView } from "../../core/process.js";
import type { GrpcProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { type Asked, type Calls, callsOf, usualLimitMs } from "./calls.js";
import { checkedSize, eventMessages, outputFrom, processMessage, processWanted, selected } from "./map/process.js";

/** Input waits for its program. */
const asLongAsItTakes = Number.POSITIVE_INFINITY;
const lastSignal = 64;

/** `sandboxes.v1.ProcessService`: programs that outlive their client. */
export function processService(parts: SandboxdParts): GrpcProtocol {
  return {
    service: ProcessServiceService,
    implementation: (who) => service(parts, callsOf(parts, who)),
  };
}

interface About {
  readonly sandboxId: string;
  readonly process: ProcessSelector | undefined;
}

function service({ sandboxes }: SandboxdParts, { unary, streams }: Calls): ProcessServiceServer {
  const of = (id: string, asked: Asked): Processes => sandboxes.processes(asked.caller, asked.sandbox(id));
  const one = async (about: About, asked: Asked): Promise<{ processes: Processes; id: ProcessNumber }> => {
    const processes = of(about.sandboxId, asked);
    return { processes, id: await selected(processes, about.process, asked.signal) };
  };
  return {
    startProcess: unary("StartProcess", usualLimitMs, async (request, asked) => {
      const view = await of(request.sandboxId, asked).start(processWanted(request), asked.signal);
      return { process: processMessage(view) };
    }),
    runProcess: streams("RunProcess", async function* ({ start }, asked) {
      if (start === undefined) throw new RuntimeError("invalidArgument", "start is not set");
      const processes = of(start.sandboxId, asked);
      yield* told(processes, await processes.start(processWanted(start), asked.signal), "start", asked.signal);
    }),
    connectProcess: streams("ConnectProcess", async function* (request, asked) {
      const { processes, id } = await one(request, asked);
      yield* told(processes, processes.get(id), outputFrom(request), asked.signal);
    }),
    getProcess: unary("GetProcess", usualLimitMs, async (request, asked) => {
      const { processes, id } = await one(request, asked);
      return { process: processMessage(processes.get(id)) };
    }),
    listProcesses: unary("ListProcesses", usualLimitMs, ({ sandboxId }, asked) =>
      Promise.resolve({ processes: of(sandboxId, asked).list().map(processMessage) }),
    ),
    sendInput: unary("SendInput", asLongAsItTakes, async (request, asked) => {
      const { processes, id } = await one(request, asked);
      await processes.write(id, request.data, asked.signal);
      return {};
    }),
    closeInput: unary("CloseInput", usualLimitMs, async (request, asked) => {
      const { processes, id } = await one(request, asked);
      await processes.closeInput(id, asked.signal);
      return {};
    }),
    signalProcess: unary("SignalProcess", usualLimitMs, async (request, asked) => {
      const { signal, all } = request;
      if (signal < 1 || signal > lastSignal) {
        throw new RuntimeError("invalidArgument", `no signal has the number ${String(signal)}`);
      }
      const { processes, id } = await one(request, asked);
      await processes.signal(id, signal, all, asked.signal);
      return {};
    }),
    resizeTerminal: unary("ResizeTerminal", usualLimitMs, async (request, asked) => {
      const size = checkedSize(request.terminal?.columns ?? 0, request.terminal?.rows ?? 0);
      const { processes, id } = await one(request, asked);
      await processes.resize(id, size, asked.signal);
      return {};
    }),
    forgetProcess: unary("ForgetProcess", usualLimitMs, async (request, asked) => {
      const { processes, id } = await one(request, asked);
      await processes.forget(id, asked.signal);
      return {};
    }),
  };
}

async function* told(
  processes: Processes,
  view: ProcessView,
  from: OutputFrom,
  signal: AbortSignal,
): AsyncGenerator<ConnectProcessResponse, void> {
  yield { event: { process: processMessage(view) } };
  for await (const event of processes.connect(view.id, from, signal)) {
    for (const message of eventMessages(event)) yield { event: message };
  }
  signal.throwIfAborted();
}
