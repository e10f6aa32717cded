import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Daemon } from "./daemon.js";
import type { Pod } from "./pods.js";

/**
 * Lines of proc_pid_mountinfo(5) of what is mounted in a pod's share: as its server is shown them, or as the host is where
 * the pod is the host's own.
 */
export async function shareMountinfo(daemon: Daemon, pod: Pod): Promise<string[]> {
  const directory = join(daemon.state, "boxes", pod.id.slice(0, 24));
  const record: unknown = JSON.parse(await readFile(join(directory, "box.json"), "utf8"));
  const { driver, processes } = record as { driver: string; processes: { pid: number }[] };
  const of = driver === "native" ? "self" : String(processes.at(-1)?.pid);
  const top = { native: `${directory}/share`, krun: "/share", qemu: "" }[driver] ?? "";
  const lines = (await readFile(`/proc/${of}/mountinfo`, "utf8")).split("\n");
  return lines.filter((line) => /^\/[cv]\/[^/]/.test((line.split(" ")[4] ?? "").slice(top.length)));
}
