/** cgroups of the machine, v1, v2 and both at once (cgroups(7)). */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "./errors.js";
import type { MountLine } from "./mountinfo.js";

/** v1 hierarchies of use: what kubelet limits and accounts. */
const wantedControllers = new Set(["cpu", "cpuacct", "cpuset", "memory", "pids"]);

/** A mounted hierarchy: cgroup v2 (also the empty one of a hybrid host), or v1 with its controllers. */
export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  readonly controllers: readonly string[];
  /** Of a v1 hierarchy that is there to track processes: "systemd". */
  readonly name?: string;
}

/** `all`: those of v1, too, that have none of these controllers. */
export function cgroupHierarchies(mounts: readonly MountLine[], all = false): CgroupHierarchy[] {
  const found = new Map<string, CgroupHierarchy>();
  for (const mount of mounts) {
    if (mount.type === "cgroup2") {
      found.set(mount.target, { version: 2, mountPoint: mount.target, controllers: [] });
    } else if (mount.type === "cgroup") {
      const controllers = mount.superOptions.filter((option) => wantedControllers.has(option));
      if (controllers.length > 0 || all) {
        const name = mount.superOptions.find((option) => option.startsWith("name="))?.slice("name=".length);
        const named = name === undefined ? {} : { name };
        found.set(mount.target, { version: 1, mountPoint: mount.target, controllers, ...named });
      }
    }
  }
  return [...found.values()];
}

/** Makes what is missing of a path below a hierarchy's mount point; cgroup v2's hand all their controllers down. */
export async function makeGroup(hierarchy: CgroupHierarchy, path: string): Promise<void> {
  let directory = hierarchy.mountPoint;
  for (const name of path.split("/").filter((part) => part !== "")) {
    if (hierarchy.version === 2) await delegateControllers(directory);
    const parent = directory;
    directory = join(directory, name);
    try {
      await mkdir(directory, 0o755);
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
    if (hierarchy.controllers.includes("cpuset")) await inheritCpuset(parent, directory);
  }
}

/** cgroups(7): a v2 child has a controller only when its parent hands it down. What can't be handed down is not. */
export async function delegateControllers(directory: string): Promise<void> {
  const available = await readFile(join(directory, "cgroup.controllers"), "utf8").catch(() => "");
  const enabled = await readFile(join(directory, "cgroup.subtree_control"), "utf8").catch(() => "");
  for (const controller of available.trim().split(/\s+/)) {
    if (!wantedControllers.has(controller) || enabled.split(/\s+/).includes(controller)) continue;
    await writeFile(join(directory, "cgroup.subtree_control"), `+${controller}`).catch(() => undefined);
  }
}

/** cpuset(7), v1: a new group has no CPUs and no memory nodes, and takes no process before it has both. */
async function inheritCpuset(parent: string, directory: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if ((await readFile(join(directory, file), "utf8")).trim() !== "") continue;
    await writeFile(join(directory, file), await readFile(join(parent, file), "utf8"));
  }
}
