import { codeOf, messageOf, RuntimeError } from "../../../base/errors.js";
import type { ProcessEvent, ProcessView, ProcessWanted } from "../../core/process.js";
import type { Call } from "../connect/method.js";
import { endOf } from "./exit-status.js";
import type { StartRequest } from "./messages.js";

const bash = "/bin/bash";
const shell = "/bin/sh";
/** Of what a program writes at once; a longer piece goes in several. */
const mostPart = 64 * 1024;
/** Images that a line in the log has been written about. */
const mostToldImages = 1000;
const toldImages = new Set<string>();

/** The program runs until its own end, or that of the time that the client gives it: no connection ends it. */
export async function* started(call: Call, message: StartRequest): AsyncGenerator {
  const { id, wanted } = await start(call, wantedOf(call, message));
  yield startEvent(id);
  for await (const event of call.processes.connect(id, "start", call.signal)) {
    if (event.kind === "exit" && event.exit.timedOut) {
      throw new RuntimeError("deadlineExceeded", `the process has run for the ${wanted.limitMs} ms that it had`);
    }
    yield* told(event, wanted);
  }
}

export function startEvent(pid: number): unknown {
  return { event: { start: { pid } } };
}

/** E2B's messages of an event of ours. */
export function* told(event: ProcessEvent, wanted: ProcessWanted): Generator {
  const terminal = wanted.terminal !== undefined;
  switch (event.kind) {
    case "output":
      for (let at = 0; at < event.data.length; at += mostPart) {
        const part = Buffer.from(event.data.subarray(at, at + mostPart)).toString("base64");
        yield { event: { data: { [terminal ? "pty" : event.stream]: part } } };
      }
      break;
    case "lost": {
      // E2B has no word for it. Who reads is told where the program would tell of a fault.
      const line = `\r\n[${event.bytes} bytes of output were not kept: nobody has read them in time]\r\n`;
      yield { event: { data: { [terminal ? "pty" : "stderr"]: Buffer.from(line).toString("base64") } } };
      break;
    }
    case "exit":
      yield { event: { end: endOf(event.exit) } };
      break;
  }
}

function wantedOf(call: Call, { process, pty, tag, stdin }: StartRequest): ProcessWanted {
  return {
    args: [process.cmd, ...process.args],
    env: process.envs,
    workingDir: process.cwd,
    user: call.user,
    ...(pty === undefined ? {} : { terminal: pty.size ?? { columns: 80, rows: 24 } }),
    stdin,
    tag,
    limitMs: call.limitMs ?? 0,
  };
}

/** The SDKs say bash and nothing else; an image without it has what its sh can do. */
async function start(call: Call, wanted: ProcessWanted): Promise<ProcessView> {
  const [program, ...rest] = wanted.args;
  try {
    return await call.processes.start(wanted, call.signal);
  } catch (thrown) {
    if (codeOf(thrown) !== "notFound") throw thrown;
    if (program !== bash) throw badStart(thrown);
    tellOnce(call);
    try {
      return await call.processes.start({ ...wanted, args: [shell, ...rest] }, call.signal);
    } catch (again) {
      throw codeOf(again) === "notFound" ? badStart(thrown) : again;
    }
  }
}

/** To the SDKs what is not found is a process that has ended, or the sandbox. */
function badStart(thrown: unknown): RuntimeError {
  return new RuntimeError("invalidArgument", messageOf(thrown), { cause: thrown });
}

function tellOnce({ view, log }: Call): void {
  if (toldImages.has(view.image) || toldImages.size >= mostToldImages) return;
  toldImages.add(view.image);
  log.warn({ image: view.image, template: view.template }, "image without bash: commands run by its sh");
}
