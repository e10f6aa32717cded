import { RuntimeError } from "../../base/errors.js";
import { HeldBytes } from "../../base/held-bytes.js";
import type { Logger } from "../../base/log.js";
import type { ProcessExit, Processes, ProcessWanted } from "../core/process.js";
import { runToExit, type Written } from "../core/run-to-exit.js";
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
 * Runs a program to its end, with all it has written in memory (`runToExit`). `resourceExhausted`: it has written more than
 * `longest`.
 */
export async function runToEnd(
  processes: Processes,
  wanted: ProcessWanted,
  { longest, input }: RunOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<Ran> {
  const output = new Gathered(longest);
  const take = (event: Written): void => {
    if (event.kind === "lost") throw lostOutput(event.bytes);
    output.add(event.stream, event.data);
  };
  try {
    const exit = await runToExit(processes, wanted, { input, take, log }, signal);
    return { exit, stdout: output.of("stdout"), stderr: output.of("stderr") };
  } finally {
    output.free();
  }
}

/** The program's own output has overtaken its reader: what is left has holes. */
export function lostOutput(bytes: number): RuntimeError {
  return new RuntimeError("resourceExhausted", `${String(bytes)} bytes of output were lost, unread`, {
    hint: "read faster, or take it up with sandboxes.v1 ConnectProcess",
  });
}

class Gathered {
  readonly #parts = { stdout: new HeldBytes(), stderr: new HeldBytes() };
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
    this.#parts[stream].add(data);
  }

  of(stream: "stdout" | "stderr"): Buffer {
    return this.#parts[stream].all();
  }

  free(): void {
    budget.giveBack(this.#bytes);
    this.#bytes = 0;
  }
}
