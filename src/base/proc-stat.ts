import { readFile } from "node:fs/promises";
import { errnoOf } from "./errors.js";

/** Of a process, by proc_pid_stat(5). */
export interface ProcStat {
  /** One letter; `Z` and `X`: only its remains are there. */
  readonly state: string;
  readonly parent: number;
  readonly processGroup: number;
  /** It has begun to end; once so, it stays so. Its group in a hierarchy of cgroup version 1 is not told any more. */
  readonly isExiting: boolean;
  /** CPU time since its start in ticks of sysconf(3) _SC_CLK_TCK, of all its threads. */
  readonly cpuTicks: bigint;
  /** In ticks since the machine's start: with the pid it names a process for good. */
  readonly startTime: bigint;
}

/** The second: the process went between opening its file and reading it. */
const goneErrnos = new Set(["ENOENT", "ESRCH"]);

/** PF_EXITING of the kernel's, in the flags of proc_pid_stat(5). */
const exitingFlag = 0x4;

/** Undefined: there is no such process. */
export async function procStat(pid: number | "self"): Promise<ProcStat | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (thrown) {
    if (goneErrnos.has(errnoOf(thrown) ?? "")) return undefined;
    throw thrown;
  }
  return parseProcStat(text);
}

/** The name, in brackets, may hold anything, brackets and blanks too: what counts begins after the last one. */
export function parseProcStat(text: string): ProcStat {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): string => fields[number - 3] ?? "0"; // as the manual counts them
  return {
    state: field(3),
    parent: Number(field(4)),
    processGroup: Number(field(5)),
    isExiting: (Number(field(9)) & exitingFlag) !== 0,
    cpuTicks: BigInt(field(14)) + BigInt(field(15)),
    startTime: BigInt(field(22)),
  };
}
