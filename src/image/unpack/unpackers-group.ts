/**
 * The cgroup of all unpackers on the machine: niceness counts only among the processes of one group, and pods have groups
 * of their own (docs/adr/0038, 0138).
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupHierarchies, makeGroup, type CgroupHierarchy } from "../../base/cgroups.js";
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { readMountinfo } from "../../base/mountinfo.js";

/**
 * At the top, beside the pods' groups, whose weight is the node's. Earlier versions have one of another name, to which they
 * give less.
 */
const path = "/a3s-box-unpackers";
/**
 * Half of what a group has by itself, in both units: with a fifth a pull starves where others want all processors, with all of
 * it an exec takes twice as long (docs/adr/0138).
 */
const weight = { 2: { file: "cpu.weight", value: "50" }, 1: { file: "cpu.shares", value: "512" } } as const;

export class UnpackersGroup {
  readonly #log: Logger;
  #hierarchies: Promise<readonly CgroupHierarchy[]> | undefined;
  #warned = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * The `cgroup.procs` files that an unpacker is to write itself into. None where the group can't be made: unpackers then
   * share the daemon's.
   */
  async procs(): Promise<readonly string[]> {
    try {
      this.#hierarchies ??= hierarchiesWithCpu();
      const procs: string[] = [];
      for (const hierarchy of await this.#hierarchies) procs.push(await makeWeighted(hierarchy));
      return procs;
    } catch (thrown) {
      if (!this.#warned) this.#log.warn({ err: messageOf(thrown) }, "no cgroup of their own for unpackers");
      this.#warned = true;
      return [];
    }
  }
}

/** One at most: a controller is in one hierarchy. v2 tells in a group's files which it has. */
async function hierarchiesWithCpu(): Promise<readonly CgroupHierarchy[]> {
  const all = cgroupHierarchies(await readMountinfo());
  const v1 = all.filter(({ controllers }) => controllers.includes("cpu"));
  return v1.length > 0 ? v1.slice(0, 1) : all.filter(({ version }) => version === 2).slice(0, 1);
}

async function makeWeighted(hierarchy: CgroupHierarchy): Promise<string> {
  await makeGroup(hierarchy, path);
  const directory = join(hierarchy.mountPoint, path);
  const { file, value } = weight[hierarchy.version];
  await writeFile(join(directory, file), value, { flag: "r+" });
  return join(directory, "cgroup.procs");
}
