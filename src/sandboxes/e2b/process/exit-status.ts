/** How a program has ended, in the words that E2B's clients know: those of Go's os.ProcessState. */
import type { ProcessExit } from "../../core/process.js";

const signals: readonly string[] = [
  "signal 0",
  "hangup",
  "interrupt",
  "quit",
  "illegal instruction",
  "trace/breakpoint trap",
  "aborted",
  "bus error",
  "floating point exception",
  "killed",
  "user defined signal 1",
  "segmentation fault",
  "user defined signal 2",
  "broken pipe",
  "alarm clock",
  "terminated",
  "stack fault",
  "child exited",
  "continued",
  "stopped (signal)",
  "stopped",
  "stopped (tty input)",
  "stopped (tty output)",
  "urgent I/O condition",
  "CPU time limit exceeded",
  "file size limit exceeded",
  "virtual timer expired",
  "profiling timer expired",
  "window changed",
  "I/O possible",
  "power failure",
  "bad system call",
];

export interface EndEvent {
  readonly exitCode: number;
  readonly exited: boolean;
  readonly status: string;
  readonly error?: string;
}

export function endOf({ code, signal, lost }: ProcessExit): EndEvent {
  if (signal === 0) {
    const status = `exit status ${code}`;
    return { exitCode: code, exited: true, status, ...(code === 0 ? {} : { error: status }) };
  }
  const status = `signal: ${signals[signal] ?? `signal ${signal}`}`;
  return { exitCode: -1, exited: false, status, error: lost ?? status };
}
