/** process.Process, as E2B's clients call it. A pid is the number of the process in its sandbox. */
import { RuntimeError } from "../../../base/errors.js";
import type { ProcessView } from "../../core/process.js";
import { clientStream, limited, serverStream, unary, type Call, type Method } from "../connect/method.js";
import {
  listRequest,
  selected,
  sendInputRequest,
  sendSignalRequest,
  startRequest,
  streamInputRequest,
  updateRequest,
  type Selector,
  type StreamInputRequest,
} from "./messages.js";
import { started, startEvent, told } from "./start.js";

const sigkill = 9;
const keepalive = { event: { keepalive: {} } };

export const processMethods: Readonly<Record<string, Method>> = {
  List: unary(listRequest, ({ processes }) =>
    Promise.resolve({
      processes: processes
        .list()
        .filter(({ exit }) => exit === undefined)
        .map(infoOf),
    }),
  ),
  Start: serverStream(startRequest, started, keepalive),
  Connect: serverStream(selected, (call, { process }) => connected(call, process), keepalive),
  Update: unary(updateRequest, async (call, { process, pty }) => {
    const { id } = find(call, process);
    if (pty?.size !== undefined) await call.processes.resize(id, pty.size, call.signal);
    return {};
  }),
  SendInput: unary(sendInputRequest, async (call, { process, input }) => {
    const view = find(call, process);
    if (input.pty !== undefined && view.wanted.terminal === undefined) {
      throw new RuntimeError("failedPrecondition", `process ${view.id} has no terminal`);
    }
    await call.processes.write(view.id, input.stdin ?? input.pty ?? Buffer.alloc(0), call.signal);
    return {};
  }),
  SendSignal: unary(sendSignalRequest, async (call, { process, signal }) => {
    // What is to be gone takes along what it has started: that would hold its output open, and its clients waiting.
    await call.processes.signal(find(call, process).id, signal, signal === sigkill, call.signal);
    return {};
  }),
  CloseStdin: unary(selected, async (call, { process }) => {
    await call.processes.closeInput(find(call, process).id, call.signal);
    return {};
  }),
  StreamInput: clientStream(streamInputRequest, streamed),
};

/** The start again, what nobody has read, and what comes; of one that has ended, its end. */
async function* connected(call: Call, process: Selector): AsyncGenerator {
  const { id, wanted } = find(call, process);
  yield startEvent(id);
  const events = limited(call, (signal) => call.processes.connect(id, "unseen", signal));
  for await (const event of events) yield* told(event, wanted);
}

async function streamed(call: Call, messages: AsyncIterable<StreamInputRequest>): Promise<unknown> {
  let id: number | undefined;
  for await (const message of messages) {
    if (message.kind === "start") {
      if (id !== undefined) throw new RuntimeError("invalidArgument", "the stream has begun already");
      ({ id } = find(call, message.process));
    } else if (message.kind === "data") {
      if (id === undefined) throw new RuntimeError("invalidArgument", "the stream begins without a start");
      await call.processes.write(id, message.bytes, call.signal);
    }
  }
  return {};
}

function find({ processes }: Call, { pid, tag }: Selector): ProcessView {
  return tag === undefined ? processes.get(pid ?? 0) : processes.tagged(tag);
}

function infoOf({ id, wanted }: ProcessView): unknown {
  const [cmd = "", ...args] = wanted.args;
  const cwd = wanted.workingDir === "" ? {} : { cwd: wanted.workingDir };
  const config = { cmd, args, envs: wanted.env, ...cwd };
  return { config, pid: id, ...(wanted.tag === "" ? {} : { tag: wanted.tag }) };
}
