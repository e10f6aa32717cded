/** What pods cost beside their containers: memory (PSS) of processes of some programs. */
import { readdir, readFile, readlink } from "node:fs/promises";

const bytesPerKib = 1024;
const bytesPerMib = 1024 * 1024;

/** Of whose program's path fits `overhead`, in MiB; those of the side are told by its directory in their command line. */
export async function memoryOf(side: { readonly overhead: RegExp; readonly mark: string }): Promise<number> {
  let bytes = 0;
  for (const pid of await readdir("/proc")) {
    if (/^\d+$/.test(pid) && (await isOverhead(pid, side))) bytes += await pssBytes(pid);
  }
  return bytes / bytesPerMib;
}

async function isOverhead(pid: string, side: { readonly overhead: RegExp; readonly mark: string }): Promise<boolean> {
  const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  // the pause container's only process
  const isPause = command === "/bin/sleep\u00001000000\u0000" && side.mark.includes("bench");
  return isPause || (side.overhead.test(program) && command.includes(side.mark));
}

/** proc_pid_smaps(5); 0 for a process that is gone. */
async function pssBytes(pid: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? "0") * bytesPerKib;
}
