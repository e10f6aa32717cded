/** The VMM of a Box, stopped and let go on: all of its threads, and with them the guest. */
import { RuntimeError } from "../base/errors.js";
import { procStat } from "../base/proc-stat.js";
import { sleep } from "../base/stage.js";
import type { BoxProcesses } from "./box-processes.js";

/** signal(7). */
const sigcont = 18;
const sigstop = 19;
/** proc_pid_stat(5): stopped on a signal. */
const stopped = "T";
const lookMs = 1;

/** Resolves once the kernel says that it stands still. `unavailable` where it has ended. */
export async function standStill(processes: BoxProcesses, signal: AbortSignal): Promise<void> {
  const pid = await processes.signalVmm(sigstop);
  while ((await stateOf(pid)) !== stopped) await sleep(lookMs, signal);
}

/** Success where it runs already. */
export async function goOn(processes: BoxProcesses): Promise<void> {
  await processes.signalVmm(sigcont);
}

async function stateOf(pid: number): Promise<string> {
  const stat = await procStat(pid);
  if (stat === undefined || stat.isExiting) throw new RuntimeError("unavailable", "the vmm has ended");
  return stat.state;
}
