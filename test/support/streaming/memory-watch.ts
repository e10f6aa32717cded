/** How far the memory of the daemon and of its Boxes' processes rises while something goes on. */
import { readFile } from "node:fs/promises";
import type { Daemon } from "../daemon.js";
import { boxProcesses } from "../machine.js";

const everyMs = 200;

export interface Growth {
  readonly name: string;
  /** Resident memory before, and the most of it since, in MiB; without what it shares: the guest's own memory. */
  readonly beforeMib: number;
  readonly peakMib: number;
  /** Processor time meanwhile, of all its threads: what the machine's load does not change. */
  readonly cpuSeconds: number;
}

export class MemoryWatch {
  readonly #seen = new Map<number, { name: string; before: number; peak: number; cpuBefore: number; cpu: number }>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();

  private constructor(processes: readonly { pid: number; name: string }[]) {
    for (const { pid, name } of processes) this.#seen.set(pid, { name, before: 0, peak: 0, cpuBefore: 0, cpu: 0 });
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#look());
    }, everyMs);
  }

  static async start(daemon: Daemon): Promise<MemoryWatch> {
    const watch = new MemoryWatch([{ pid: daemon.pid, name: "daemon" }, ...(await boxProcesses(daemon.scope))]);
    await watch.#look();
    return watch;
  }

  async stop(): Promise<Growth[]> {
    clearInterval(this.#timer);
    await this.#looking;
    await this.#look();
    return [...this.#seen.values()].map(({ name, before, peak, cpuBefore, cpu }) => ({
      name,
      beforeMib: Math.round(before / 1024),
      peakMib: Math.round(peak / 1024),
      cpuSeconds: cpu - cpuBefore,
    }));
  }

  async #look(): Promise<void> {
    for (const [pid, known] of this.#seen) {
      const kib = await unsharedKib(pid).catch(() => 0); // it has ended
      const cpu = await cpuSeconds(pid).catch(() => known.cpu);
      if (known.before === 0) Object.assign(known, { before: kib, cpuBefore: cpu });
      known.peak = Math.max(known.peak, kib);
      known.cpu = cpu;
    }
  }
}

/** proc(5), stat: utime and stime, in ticks of 10 ms. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** proc(5), status: what is resident less what is shared memory. */
async function unsharedKib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? "0");
  return field("VmRSS") - field("RssShmem");
}
