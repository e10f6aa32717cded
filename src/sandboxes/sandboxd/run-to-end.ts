import { RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { forgetLost } from "../core/forget-lost.js";
import type { ProcessExit, ProcessNumber, Processes, ProcessWanted } from "../core/process.js";
import { ByteBudget } from "./byte-budget.js";

/** Of one program's output in one answer, which is a message of 16 MiB at most. */
export const longestOutput = 15 * 1024 * 1024;
/** Of all such answers that are being gathered. */
const budget = new ByteBudget(8 * longestOutput);

export interface Ran {
  readonly exit: ProcessExit;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface RunOptions {
  readonly longest: number;
  readonly input?: Uint8Array;
}

/**
 * A program that lives no longer than the call about it: run to its end, all it has written in memory. It is gone when this
 * settles, whatever the way. `resourceExhausted`: it has written more than `longest`.
 */
export async function runToEnd(
  processes: Processes,
  wanted: ProcessWanted,
  options: RunOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<Ran> {
  const { id } = await processes.start(wanted, signal);
  const output = new Gathered(options.longest);
  try {
    const feeding = feed(processes, id, options.input, signal);
    for await (const event of processes.connect(id, "start", signal)) {
      if (event.kind === "output") output.add(event.stream, event.data);
      else if (event.kind === "lost") throw lostOutput(event.bytes);
      else {
        await feeding;
        return { exit: event.exit, stdout: output.of("stdout"), stderr: output.of("stderr") };
      }
    }
    signal.throwIfAborted();
    throw new RuntimeError("unavailable", "the program's output ended before its exit");
  } finally {
    output.free();
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

/** The program's own output has overtaken its reader: what is left has holes. */
export function lostOutput(bytes: number): RuntimeError {
  return new RuntimeError("resourceExhausted", `${String(bytes)} bytes of output were lost, unread`, {
    hint: "read faster, or take it up with sandboxes.v1 ConnectProcess",
  });
}

class Gathered {
  readonly #parts = { stdout: new Array<Uint8Array>(), stderr: new Array<Uint8Array>() };
  readonly #longest: number;
  #bytes = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    if (this.#bytes + data.length > this.#longest) {
      throw new RuntimeError("resourceExhausted", `the program has written more than ${String(this.#longest)} bytes`, {
        hint: "stream it: process.v1 Start, or sandboxes.v1 RunProcess",
      });
    }
    budget.take(data.length);
    this.#bytes += data.length;
    this.#parts[stream].push(data);
  }

  of(stream: "stdout" | "stderr"): Buffer {
    return Buffer.concat(this.#parts[stream]);
  }

  free(): void {
    budget.giveBack(this.#bytes);
    this.#bytes = 0;
  }
}
