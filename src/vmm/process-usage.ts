import { readFile } from "node:fs/promises";

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

/** CPU time since its start in nanoseconds, of all its threads (proc_pid_stat(5), utime and stime); 0 for one that is gone. */
async function cpuNs(pid: number): Promise<bigint> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const [user = "0", system = "0"] = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (BigInt(user) + BigInt(system)) * nsPerTick;
}

/** Bytes of host memory (PSS) of processes and their children. */
export async function memoryOf(pids: readonly number[]): Promise<bigint> {
  return await sumOf(pids, pssBytes);
}

/** CPU time of processes and their children, in nanoseconds to the tick (10 ms). */
export async function cpuTimeOf(pids: readonly number[]): Promise<bigint> {
  return await sumOf(pids, cpuNs);
}

async function sumOf(pids: readonly number[], read: (pid: number) => Promise<bigint>): Promise<bigint> {
  const families = await Promise.all(pids.map(async (pid) => [pid, ...(await childrenOf(pid))]));
  const parts = await Promise.all(families.flat().map(read));
  return parts.reduce((sum, part) => sum + part, 0n);
}
