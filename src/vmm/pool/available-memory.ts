import { readFile } from "node:fs/promises";

/** What the host could give without swapping (proc_meminfo(5), MemAvailable). */
export async function availableMib(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? "0") / 1024;
}
