import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../setup/run.js";

/** A directory for one run of the runtime, that `removeScratch` takes away with all that still lives in it. */
export async function makeScratch(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "a3s-quick-"));
}

/**
 * Removes the directory. A runtime that ended as it should has left no process and no mount there; where it has not, the
 * processes that name the directory are killed and the mounts below it are let go first, so that nothing is deleted
 * through a mount. Returns what had to be done, for the person.
 */
export async function removeScratch(directory: string): Promise<string[]> {
  const remarks: string[] = [];
  const left = await processesNaming(directory);
  for (const pid of left) {
    remarks.push(`killed a process that was left: ${String(pid)}`);
    killQuietly(pid);
  }
  if (left.length > 0) await delay(200);
  for (const mount of (await mountsBelow(directory)).reverse()) {
    remarks.push(`let go of a mount that was left: ${mount}`);
    await run("umount", ["--lazy", mount], { signal: AbortSignal.timeout(10_000) });
  }
  if ((await mountsBelow(directory)).length > 0) return [...remarks, `not removed, still mounted: ${directory}`];
  await rm(directory, { recursive: true, force: true });
  return remarks;
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // gone by itself
  }
}

/** Pids, our own left out, whose command line holds the directory's name, which is random. */
async function processesNaming(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const line = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (line.includes(directory)) found.push(Number(name));
  }
  return found;
}

/** Mount points below the directory, in the order they were mounted (proc(5), mountinfo). */
async function mountsBelow(directory: string): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table.split("\n").flatMap((line) => {
    const point = (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return point.startsWith(`${directory}/`) ? [point] : [];
  });
}
