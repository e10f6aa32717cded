import { readFile } from "node:fs/promises";

/** Processor time of processes together, in hundredths of a second: utime and stime of proc_pid_stat(5). */
export async function ticks(pids: readonly number[]): Promise<number> {
  let sum = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    const [user, system] = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13);
    sum += Number(user) + Number(system);
  }
  return sum;
}
