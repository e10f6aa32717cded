/** Which CPUs and memory nodes of the host a Box runs on (cpuset(7); kernel cgroup-v2.rst, "Cpuset"). */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { isThere } from "../../base/is-there.js";

/** Lists as the kernel writes them, "0-3,7"; "": all that the group above has. */
export interface CpuSet {
  readonly cpus: string;
  readonly mems: string;
}

/** How the kernel refuses a list that names what the host, or the group above, has not. */
const refusals = new Set(["EINVAL", "ERANGE", "EACCES", "ENOSPC"]);

/**
 * Sets it for a Box's groups, in whichever hierarchy has cpusets. Throws `invalidArgument` for what the host has not, and
 * `failedPrecondition` where no hierarchy has cpusets and some are wished for.
 */
export async function confineGroups(directories: readonly string[], { cpus, mems }: CpuSet): Promise<void> {
  const groups: string[] = [];
  for (const directory of directories) if (await isThere(join(directory, "cpuset.cpus"))) groups.push(directory);
  if (groups.length === 0 && (cpus !== "" || mems !== "")) {
    throw new RuntimeError("failedPrecondition", `CPUs "${cpus}" can't be set: the pod's cgroup has no cpuset`, {
      hint: "mount the cpuset controller, or run kubelet without its static CPU manager",
    });
  }
  for (const directory of groups) {
    await write(directory, "cpuset.cpus", cpus);
    await write(directory, "cpuset.mems", mems);
  }
}

async function write(directory: string, file: string, list: string): Promise<void> {
  try {
    await (list === "" ? giveBack(directory, file) : put(directory, file, list));
  } catch (cause) {
    if (!refusals.has(errnoOf(cause) ?? "")) throw cause;
    const there = await readFile(join(dirname(directory), `${file}.effective`), "utf8")
      .catch(() => readFile(join(dirname(directory), file), "utf8"))
      .catch(() => "unknown");
    throw new RuntimeError("invalidArgument", `${file} "${list}" can't be set: ${messageOf(cause)}`, {
      hint: `the pod's cgroup may have ${there.trim()}`,
      cause,
    });
  }
}

async function put(directory: string, file: string, list: string): Promise<void> {
  await writeFile(join(directory, file), `${list}\n`, { flag: "r+" });
}

/** v2 has an empty list for it, which no group with processes may come back to; there as in v1 it is spelled out. */
async function giveBack(directory: string, file: string): Promise<void> {
  if (!(await isThere(join(directory, "cgroup.controllers")))) {
    await put(directory, file, await listOf(dirname(directory), file));
    return;
  }
  try {
    await put(directory, file, "");
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOSPC") throw thrown;
    await put(directory, file, await listOf(dirname(directory), `${file}.effective`));
  }
}

async function listOf(directory: string, file: string): Promise<string> {
  return (await readFile(join(directory, file), "utf8")).trim();
}
