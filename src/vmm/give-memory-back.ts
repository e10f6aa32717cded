/** Memory of a Box that stands still, on its way to the host's swap. A guest's is shared memory: it can go nowhere else. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Limiter } from "../base/limiter.js";
import type { Logger } from "../base/log.js";

/** In steps: each takes a thread, and a Box that goes on ends it. */
const stepBytes = 64n * 1024n * 1024n;
/** Of all Boxes: there are four threads, and everything that the daemon does with files needs one. */
const steps = new Limiter<"step">({ inAll: 1 });

/** Whether the host has swap with room in it: without it reclaiming would only take files that others use from memory. */
export async function hasSwap(): Promise<boolean> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/^SwapFree:\s+(\d+) kB$/m.exec(text)?.[1] ?? "0") > 0;
}

/**
 * By the memory controller of the Box's groups: `memory.reclaim` of version 2 (Linux 5.19), `memory.force_empty` of version 1.
 * Ends where nothing more goes, and when the signal is aborted. Never fails: it is a favour.
 */
export async function giveMemoryBack(
  groups: readonly string[],
  log: Logger,
  signal: AbortSignal,
  mayGo = hasSwap,
): Promise<void> {
  if (!(await mayGo())) return;
  for (const group of groups) {
    const before = await numberIn(join(group, "memory.current"));
    if (before === undefined) {
      await written(join(group, "memory.force_empty"), "0", signal);
      continue;
    }
    for (let left = before; left > 0n && !signal.aborted; left -= stepBytes) {
      const step = left < stepBytes ? left : stepBytes;
      if (!(await written(join(group, "memory.reclaim"), String(step), signal))) break;
    }
    const after = await numberIn(join(group, "memory.current"));
    log.debug({ group, before: String(before), after: String(after) }, "memory of a paused Box given back");
  }
}

/** EAGAIN: less than that could be had. */
async function written(path: string, text: string, signal: AbortSignal): Promise<boolean> {
  return await steps
    .run("step", signal, () => writeFile(path, text))
    .then(
      () => true,
      () => false,
    );
}

async function numberIn(path: string): Promise<bigint | undefined> {
  const text = (await readFile(path, "utf8").catch(() => "")).trim();
  return /^\d+$/.test(text) ? BigInt(text) : undefined;
}
