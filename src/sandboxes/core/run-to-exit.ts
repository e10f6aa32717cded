import { RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { forgetLost } from "./forget-lost.js";
import type { ProcessEvent, ProcessExit, ProcessNumber, Processes, ProcessWanted } from "./process.js";

export type Written = Exclude<ProcessEvent, { readonly kind: "exit" }>;

export interface RunOptions {
  /** All that its standard input has; absent: it is as `wanted` says. */
  readonly input?: Uint8Array | undefined;
  /** What it has written. What this throws ends the program. */
  readonly take: (event: Written) => void;
  readonly log: Logger;
}

/**
 * A program that lives no longer than the call about it. When this settles, whatever the way, it is gone with all that it has
 * started, and nothing of it is kept.
 */
export async function runToExit(
  processes: Processes,
  wanted: ProcessWanted,
  { input, take, log }: RunOptions,
  signal: AbortSignal,
): Promise<ProcessExit> {
  const { id } = await processes.start(wanted, signal);
  try {
    const feeding = feed(processes, id, input, signal);
    for await (const event of processes.connect(id, "start", signal)) {
      if (event.kind !== "exit") {
        take(event);
        continue;
      }
      await feeding;
      return event.exit;
    }
    signal.throwIfAborted();
    throw new RuntimeError("unavailable", "the program's output ended before its exit");
  } finally {
    await forgetLost(processes, id, log);
  }
}

/** A program that does not read, or has gone, is no failure of the call. */
async function feed(
  processes: Processes,
  id: ProcessNumber,
  input: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (input === undefined) return;
  try {
    await processes.write(id, input, signal);
    await processes.closeInput(id, signal);
  } catch {
    return;
  }
}
