import type { Logger } from "../../base/log.js";
import type { Processes, ProcessExit, ProcessWanted } from "../core/process.js";
import { runToExit, type Written } from "../core/run-to-exit.js";
import { BoundedOutput } from "./bounded-output.js";

/** Of each stream: what a model is given to read. */
export const mostOutputBytes = 64 * 1024;

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: ProcessExit;
  readonly truncated: boolean;
}

/** Runs a program to its end, with the beginning and the end of what it has written. */
export async function runCommand(
  processes: Processes,
  wanted: ProcessWanted,
  log: Logger,
  signal: AbortSignal,
): Promise<CommandResult> {
  const output = { stdout: new BoundedOutput(mostOutputBytes), stderr: new BoundedOutput(mostOutputBytes) };
  const take = (event: Written): void => {
    if (event.kind === "output") output[event.stream].add(event.data);
    else output.stdout.lose(event.bytes);
  };
  const exit = await runToExit(processes, wanted, { take, log }, signal);
  const { stdout, stderr } = output;
  return { stdout: stdout.text(), stderr: stderr.text(), exit, truncated: stdout.truncated || stderr.truncated };
}
