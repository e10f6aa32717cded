/** Which process an ingest directory belongs to: its name begins with the pid and the start time. */
import { procStat } from "../../base/proc-stat.js";

/** "PID-STARTTIME" of this process. */
export async function ownName(): Promise<string> {
  const stat = await procStat("self");
  return `${process.pid}-${stat?.startTime ?? 0n}`;
}

/** False also where it can't be told: an older version's directory, a process of another PID namespace. */
export async function isOwnerGone(directoryName: string): Promise<boolean> {
  const parts = /^([1-9]\d*)-(\d+)-/.exec(directoryName);
  if (parts === null) return false;
  const stat = await procStat(Number(parts[1]));
  return stat === undefined || stat.startTime !== BigInt(parts[2] ?? "0") || stat.state === "Z" || stat.state === "X";
}
