import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeError } from "../../base/errors.js";

const askAgainMs = 20;

/**
 * Ends the plugins that a killed daemon has left running for a sandbox, with those that they have started: an ADD that
 * goes on would take an address after DEL had given it back. They are known by CNI_CONTAINERID in their environment.
 * Resolves when none is there; `deadlineExceeded`, with their pids, when one can't be ended until `signal` aborts.
 */
export async function endLeftoverPlugins(containerId: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const pids = await pluginsOf(containerId);
    if (pids.length === 0) return;
    if (signal.aborted) {
      throw new RuntimeError("deadlineExceeded", `CNI plugins of an earlier daemon still run: ${pids.join(", ")}`);
    }
    for (const pid of pids) end(pid);
    await delay(askAgainMs);
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

async function pluginsOf(containerId: string): Promise<number[]> {
  const found: number[] = [];
  const wanted = `CNI_CONTAINERID=${containerId}`;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const variables = await readFile(`/proc/${name}/environ`, "utf8").catch(() => ""); // gone, or a zombie
    if (variables.split("\0").includes(wanted)) found.push(Number(name));
  }
  return found;
}
