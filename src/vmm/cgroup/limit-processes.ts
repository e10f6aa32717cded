import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound } from "../../base/errors.js";
import type { BoxSpec } from "../box.js";
import type { GroupUse } from "./plan.js";

/** QEMU's and libkrun's threads beside those of the processors (QEMU: 64 at most), and the file server's (16). */
const besideProcessors = 128;

/** Processes and threads that a machine may have on the host; undefined under `native`, whose limits are its containers'. */
export function mostProcesses(use: GroupUse, { vcpus }: Pick<BoxSpec, "vcpus">): number | undefined {
  return use === "leaf" ? vcpus + besideProcessors : undefined;
}

/** pids.max of a group that was made by hand, in a hierarchy that counts them; another one has no such file. */
export async function limitProcesses(group: string, most: number | undefined): Promise<void> {
  if (most === undefined) return;
  try {
    await writeFile(join(group, "pids.max"), String(most), { flag: "r+" });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
