import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { procStat } from "../../base/proc-stat.js";

const askAgainMs = 5;

/** Kills all of a process group. `leader`: its number, which is the pid of its first process. */
export function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // all of it has ended by itself
  }
}

/**
 * Resolves once no process of a killed group runs any more. One can still be inside a system call that completes: the
 * iptables of a killed plugin would commit its rule after DEL had looked for it.
 *
 * It has no limit of its own: whoever waits gives it up, by the limit of the stage that it is a part of.
 */
export async function groupEnded(leader: number): Promise<void> {
  while (await isRunning(leader)) await delay(askAgainMs);
}

async function isRunning(leader: number): Promise<boolean> {
  try {
    process.kill(-leader, 0);
  } catch {
    return false;
  }
  // Somebody is there, if only remains that nobody has reaped.
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(procStat));
  return stats.some((stat) => stat?.processGroup === leader && stat.state !== "Z" && stat.state !== "X");
}
