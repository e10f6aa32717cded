import { constants } from "node:os";
import type { ProcessExit } from "../gen/sandboxes/v1/processes.js";

/** As E2B's clients are told it: in the words of Go's os.ProcessState, which are those of strsignal(3) in small letters. */
const words: Readonly<Record<string, string>> = {
  SIGHUP: "hangup",
  SIGINT: "interrupt",
  SIGQUIT: "quit",
  SIGILL: "illegal instruction",
  SIGTRAP: "trace/breakpoint trap",
  SIGABRT: "aborted",
  SIGBUS: "bus error",
  SIGFPE: "floating point exception",
  SIGKILL: "killed",
  SIGSEGV: "segmentation fault",
  SIGPIPE: "broken pipe",
  SIGALRM: "alarm clock",
  SIGTERM: "terminated",
};

export interface ExitStatus {
  readonly exitCode: number;
  readonly error?: string;
  readonly signal?: number;
}

export function exitStatusOf({ code, signal }: Pick<ProcessExit, "code" | "signal">): ExitStatus {
  if (signal === 0) return code === 0 ? { exitCode: 0 } : { exitCode: code, error: `exit status ${code}` };
  const [name = ""] = Object.entries(constants.signals).find(([, number]) => number === signal) ?? [];
  return { exitCode: -1, error: `signal: ${words[name] ?? `signal ${signal}`}`, signal };
}
