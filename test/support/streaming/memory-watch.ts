/** How far the memory of the daemon and of its Boxes' processes rises while something goes on. */
import type { Daemon } from "../daemon.js";
import { boxProcesses, residentKib } from "../machine.js";

const everyMs = 200;

export interface Growth {
  readonly name: string;
  /** Resident memory before, and the most of it since, in MiB. */
  readonly beforeMib: number;
  readonly peakMib: number;
}

export class MemoryWatch {
  readonly #seen = new Map<number, { name: string; before: number; peak: number }>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();

  private constructor(processes: readonly { pid: number; name: string }[]) {
    for (const { pid, name } of processes) this.#seen.set(pid, { name, before: 0, peak: 0 });
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
    return [...this.#seen.values()].map(({ name, before, peak }) => ({
      name,
      beforeMib: Math.round(before / 1024),
      peakMib: Math.round(peak / 1024),
    }));
  }

  async #look(): Promise<void> {
    for (const [pid, known] of this.#seen) {
      const kib = await residentKib(pid).catch(() => 0); // it has ended
      if (known.before === 0) known.before = kib;
      known.peak = Math.max(known.peak, kib);
    }
  }
}
