import type { Logger } from "../../base/log.js";
import { forgetLost } from "../core/forget-lost.js";
import type { Processes, ProcessExit, ProcessWanted } from "../core/process.js";
import { BoundedOutput } from "./bounded-output.js";

/** Of each stream: what a model is given to read. */
export const mostOutputBytes = 64 * 1024;

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: ProcessExit;
  readonly truncated: boolean;
}

/** Runs a program to its end. When the caller goes it is killed with all that it has started; nothing of it is kept. */
export async function runCommand(
  processes: Processes,
  wanted: ProcessWanted,
  log: Logger,
  signal: AbortSignal,
): Promise<CommandResult> {
  const { id } = await processes.start(wanted, signal);
  try {
    return await collect(processes, id, signal);
  } finally {
    await forgetLost(processes, id, log);
  }
}

async function collect(processes: Processes, id: number, signal: AbortSignal): Promise<CommandResult> {
  const output = { stdout: new BoundedOutput(mostOutputBytes), stderr: new BoundedOutput(mostOutputBytes) };
  for await (const event of processes.connect(id, "start", signal)) {
    if (event.kind === "output") output[event.stream].add(event.data);
    else if (event.kind === "lost") output.stdout.lose(event.bytes);
    else {
      const { stdout, stderr } = output;
      const truncated = stdout.truncated || stderr.truncated;
      return { stdout: stdout.text(), stderr: stderr.text(), exit: event.exit, truncated };
    }
  }
  signal.throwIfAborted();
  throw new Error("the output ended without an exit");
}
