/** Which process an ingest folder belongs to: its name begins with the pid and the start time. */
import { readFile } from "node:fs/promises";
import { isNotFound } from "../../base/errors.js";

interface Stat {
  readonly state: string;
  readonly startTime: string;
}

/** "PID-STARTTIME" of this process. */
export async function ownName(): Promise<string> {
  const stat = await readStat("self");
  return `${process.pid}-${stat?.startTime ?? "0"}`;
}

/** False also where it can't be told: an older version's folder, a process of another PID namespace. */
export async function isOwnerGone(folderName: string): Promise<boolean> {
  const parts = /^([1-9]\d*)-(\d+)-/.exec(folderName);
  if (parts === null) return false;
  const stat = await readStat(parts[1] ?? "");
  return stat === null || stat.startTime !== parts[2] || stat.state === "Z" || stat.state === "X";
}

/** Source: proc_pid_stat(5). The name, in brackets, may hold anything. Null: there is no such process. */
async function readStat(pid: string): Promise<Stat | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
  } catch (thrown) {
    if (isNotFound(thrown)) return null;
    throw thrown;
  }
}
