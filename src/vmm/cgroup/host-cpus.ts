/** Which CPUs and memory nodes the host has, against lists that ask for some (cpuset(7), "List format"). */
import { readFile } from "node:fs/promises";
import { isNotFound, RuntimeError } from "../../base/errors.js";

interface Range {
  readonly first: number;
  readonly last: number;
}

/** A field of a request, what it counts, and where the host says what it has. */
const fields = {
  cpuset_cpus: { what: "CPU", online: "/sys/devices/system/cpu/online" },
  cpuset_mems: { what: "memory node", online: "/sys/devices/system/node/online" },
} as const;

/**
 * Throws `invalidArgument` for what the host has not. The kernel is asked for all that a pod's containers have together, and
 * so does not see a list of one of them beside one that may run anywhere; and version 2 takes any CPU that could be
 * plugged in.
 */
export async function checkOnHost(lists: Readonly<Record<keyof typeof fields, string>>): Promise<void> {
  for (const field of ["cpuset_cpus", "cpuset_mems"] as const) {
    const list = lists[field];
    if (list === "") continue;
    const { what, online } = fields[field];
    const has = await onlineIn(online);
    const missing = missingIn(list, has);
    if (missing === undefined) continue;
    throw new RuntimeError("invalidArgument", `${field} "${list.slice(0, 80)}": the host has no ${what} ${missing}`, {
      hint: `it has ${has}`,
    });
  }
}

/** The first number of a list that another has not; undefined when it has all. Neither is spelled out: they may be long. */
export function missingIn(list: string, has: string): number | undefined {
  const ranges = rangesOf(has).sort((one, other) => one.first - other.first);
  for (const { first, last } of rangesOf(list)) {
    let next = first;
    for (const range of ranges) if (range.first <= next && next <= range.last) next = range.last + 1;
    if (next <= last) return next;
  }
  return undefined;
}

function rangesOf(list: string): Range[] {
  return list.split(",").map((part) => {
    const [first = "", last = first] = part.split("-");
    return { first: Number(first), last: Number(last) };
  });
}

/** A kernel without nodes of memory has one. */
async function onlineIn(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (thrown) {
    if (isNotFound(thrown)) return "0";
    throw thrown;
  }
}
