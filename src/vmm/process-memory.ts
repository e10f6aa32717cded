import { readFile } from "node:fs/promises";

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

/** Bytes of host memory (PSS) of processes and their children. */
export async function memoryOf(pids: readonly number[]): Promise<bigint> {
  const families = await Promise.all(pids.map(async (pid) => [pid, ...(await childrenOf(pid))]));
  const sizes = await Promise.all(families.flat().map(pssBytes));
  return sizes.reduce((sum, size) => sum + size, 0n);
}
