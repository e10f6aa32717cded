import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { procStat } from "../base/proc-stat.js";

/** What a pod takes of its host. */
export interface Usage {
  /** CPU time in nanoseconds. */
  cpuTime(): Promise<bigint>;
  /** Bytes. */
  memory(): Promise<bigint>;
  /** Undefined where it is not counted. */
  disk(): Promise<DiskUsage | undefined>;
}

/** Bytes that were really read from and written to disks. */
export interface DiskUsage {
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
}

/** sysconf(3) _SC_CLK_TCK is 100 on every Linux that a Box runs on. */
const nsPerTick = 10_000_000n;

/** Proportional set size in bytes (proc_pid_smaps(5)); 0 for a process that is gone. */
async function pssBytes(pid: number): Promise<bigint> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const kib = /^Pss:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? 0n : BigInt(kib) * 1024n;
}

/** Direct children, where the kernel lists them (CONFIG_PROC_CHILDREN): the file server serves from one. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text
    .split(" ")
    .map(Number)
    .filter((child) => Number.isInteger(child) && child > 0);
}

/** CPU time since its start in nanoseconds, of all its threads; 0 for one that is gone. */
async function cpuNs(pid: number): Promise<bigint> {
  return ((await procStat(pid))?.cpuTicks ?? 0n) * nsPerTick;
}

/** Disk traffic since its start (proc_pid_io(5)); 0 for a process that is gone. */
function ioCounter(name: "read_bytes" | "write_bytes"): (pid: number) => Promise<bigint> {
  return async (pid) => {
    const text = await readFile(`/proc/${pid}/io`, "utf8").catch(() => "");
    return BigInt(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1] ?? "0");
  };
}

/** Of processes and their children: memory is PSS, CPU time is to the tick (10 ms). */
export class ProcessUsage implements Usage {
  readonly #pids: readonly number[];

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  async cpuTime(): Promise<bigint> {
    return await sumOf(this.#pids, cpuNs);
  }

  async memory(): Promise<bigint> {
    return await sumOf(this.#pids, pssBytes);
  }

  async disk(): Promise<DiskUsage> {
    const [readBytes, writtenBytes] = await Promise.all([
      sumOf(this.#pids, ioCounter("read_bytes")),
      sumOf(this.#pids, ioCounter("write_bytes")),
    ]);
    return { readBytes, writtenBytes };
  }
}

async function sumOf(pids: readonly number[], read: (pid: number) => Promise<bigint>): Promise<bigint> {
  const families = await Promise.all(pids.map(async (pid) => [pid, ...(await childrenOf(pid))]));
  const parts = await Promise.all(families.flat().map(read));
  return parts.reduce((sum, part) => sum + part, 0n);
}

const nsPerUs = 1000n;

/** Of a control group, whose directory in each hierarchy is given: memory is the working set. */
export class GroupUsage implements Usage {
  readonly #directories: readonly string[];

  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  disk(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Version 2 counts time also where version 1 has the controller; the latter comes first for what it has. */
  async cpuTime(): Promise<bigint> {
    const old = await this.#read("cpuacct.usage");
    if (old !== undefined) return BigInt(old.trim());
    return keyed((await this.#read("cpu.stat")) ?? "", "usage_usec") * nsPerUs;
  }

  async memory(): Promise<bigint> {
    const stat = (await this.#read("memory.stat")) ?? "";
    const old = await this.#read("memory.usage_in_bytes");
    const usage = BigInt((old ?? (await this.#read("memory.current")) ?? "0").trim());
    const inactive = keyed(stat, old === undefined ? "inactive_file" : "total_inactive_file");
    return usage > inactive ? usage - inactive : 0n;
  }

  async #read(file: string): Promise<string | undefined> {
    for (const directory of this.#directories) {
      const text = await readFile(join(directory, file), "utf8").catch(() => undefined);
      if (text !== undefined) return text;
    }
    return undefined;
  }
}

/** The number after a key in lines of "key number". */
function keyed(text: string, key: string): bigint {
  const found = text.split("\n").find((line) => line.startsWith(`${key} `));
  return BigInt(/\d+$/.exec(found ?? "")?.[0] ?? "0");
}
