/** What a process and those that it has started cost, from /proc (man 5 proc). */
import { readdir, readFile } from "node:fs/promises";

const ticksPerSecond = 100;

interface ProcessFacts {
  readonly name: string;
  readonly parent: number;
  readonly cpuTicks: number;
  readonly residentPages: number;
}

/**
 * Of the process and its living descendants; CPU time also of those that it has waited for. A descendant of the same name
 * is a fork that has not become its program yet: its memory is its parent's.
 */
export async function costOf(pid: number): Promise<{ residentMib: number; cpuMs: number }> {
  const all = await allProcesses();
  let pages = 0;
  let ticks = 0;
  for (const [one, facts] of all) {
    if (!descends(one, pid, all)) continue;
    if (one === pid || facts.name !== all.get(pid)?.name) pages += facts.residentPages;
    ticks += facts.cpuTicks;
  }
  return { residentMib: (pages * 4096) / 2 ** 20, cpuMs: (ticks * 1000) / ticksPerSecond };
}

/** Runs the work, and looks at the processes' memory all the time; the most that was seen. */
export async function peakMib(pid: number, work: () => Promise<unknown>): Promise<number> {
  const ended = new AbortController();
  let peak = 0;
  const watching = (async () => {
    while (!ended.signal.aborted) {
      peak = Math.max(peak, (await costOf(pid)).residentMib);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  try {
    await work();
  } finally {
    ended.abort();
    await watching;
  }
  return peak;
}

function descends(pid: number, ancestor: number, all: ReadonlyMap<number, ProcessFacts>): boolean {
  for (let at = pid, steps = 0; at > 1 && steps < 20; at = all.get(at)?.parent ?? 0, steps += 1) {
    if (at === ancestor) return true;
  }
  return false;
}

async function allProcesses(): Promise<Map<number, ProcessFacts>> {
  const all = new Map<number, ProcessFacts>();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined) continue; // ended meanwhile
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    all.set(Number(entry), {
      name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")),
      parent: fields[1] ?? 0,
      cpuTicks: utime + stime + cutime + cstime,
      residentPages: fields[21] ?? 0,
    });
  }
  return all;
}
