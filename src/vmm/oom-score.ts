/** Which of the host's processes the kernel ends first when memory runs out (proc_pid_oom_score_adj(5)). */
import { open, readFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.js";
import { procStat } from "../base/proc-stat.js";
import type { BoxHandle } from "./box.js";

/** Errors of a process that is on its way out, or of a group that is. */
const gone = new Set(["ENOENT", "ESRCH", "ENODEV"]);

/**
 * Gives it to VMM and file server, and to whatever else is in the Box's group. Those of the record are checked by their
 * start, once the file is open: from then on it is this process's, whoever gets the number later.
 */
export async function setOomScore(
  { processes }: Pick<BoxHandle, "processes">,
  groups: readonly string[],
  score: number,
): Promise<void> {
  const recorded = new Map(processes.map(({ pid, startTime }) => [pid, startTime]));
  const inGroups = (await Promise.all(groups.map(membersOf))).flat();
  for (const pid of new Set([...recorded.keys(), ...inGroups])) await setOne(pid, recorded.get(pid), score);
}

async function setOne(pid: number, startTime: bigint | undefined, score: number): Promise<void> {
  try {
    await using file = await open(`/proc/${String(pid)}/oom_score_adj`, "r+");
    if (startTime !== undefined && (await procStat(pid))?.startTime !== startTime) return;
    await write(file, score);
  } catch (thrown) {
    if (!gone.has(errnoOf(thrown) ?? "")) throw thrown;
  }
}

/** Who may not lower scores (CAP_SYS_RESOURCE) gives no less than its own, which is what the process came with. */
async function write(file: FileHandle, score: number): Promise<void> {
  try {
    await file.write(`${String(score)}\n`);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EACCES") throw thrown;
    const own = Number(await readFile("/proc/self/oom_score_adj", "utf8"));
    if (own <= score) throw thrown;
    await file.write(`${String(own)}\n`);
  }
}

async function membersOf(group: string): Promise<number[]> {
  try {
    const text = await readFile(join(group, "cgroup.procs"), "utf8");
    return text
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0);
  } catch (thrown) {
    if (gone.has(errnoOf(thrown) ?? "")) return [];
    throw thrown;
  }
}
