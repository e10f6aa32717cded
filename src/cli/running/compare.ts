/** Records against the machine. Pure: what is compared was read before. */
import { basename, dirname, join } from "node:path";
import { submountPrefix } from "../../runtime/volumes/submounts.js";
import type { Config } from "../../config/config.js";
import { netnsDirectory, netnsPath, shortNameDigits } from "../../config/paths.js";
import { containerState } from "../../runtime/container/container-record.js";
import { podState, type PodRecord } from "../../runtime/pod/pod-record.js";
import { boxesDirectory, boxDirectoryAt, type BoxRecord } from "../../vmm/box-directory.js";
import { isBoxGroup, isPoolGroup } from "../../vmm/cgroup/plan.js";
import { areas } from "../../vmm/share/layout.js";
import type { Found } from "./found.js";
import type { Known } from "./known.js";

/** One thing that is not as the records have it. */
export interface Trouble {
  readonly kind:
    | "record"
    | "sandbox"
    | "ready Box"
    | "container"
    | "process"
    | "mount"
    | "namespace"
    | "cgroup"
    | "directory"
    | "snapshot"
    | "template";
  /** An id, a path or a process's number. */
  readonly what: string;
  readonly problem: string;
  readonly remedy: string;
}

type Directories = Pick<Config, "root" | "state">;

const restart = "restart the daemon: it takes away what no record names";
const seen = "the daemon sees it within seconds and reports NOTREADY; one that does not run, at its next start";

export function compare(known: Known, found: Found, config: Config): Trouble[] {
  return [
    ...unreadable(known),
    ...lost(known, found, config),
    ...lostReady(known, found, config),
    ...halfMade(found),
    ...orphans(known, found, config),
  ];
}

/** Boxes that no pod has: those that are ready, and while a daemon serves those that it is making. */
function ofPool({ boxDirectories, served }: Found): BoxRecord[] {
  return [...boxDirectories.values()].flatMap((record) => {
    if (record === undefined) return [];
    const own = record.cgroups.filter((path) => isBoxGroup(path, record.id));
    const isMade = served && own.length > 0 && own.every(isPoolGroup);
    return record.pool !== undefined || isMade ? [record] : [];
  });
}

/** Of Boxes that are said to be ready. */
function lostReady(known: Known, found: Found, config: Config): Trouble[] {
  const pods = new Set<string>(known.sandboxes.map(({ id }) => id));
  return ofPool(found).flatMap(({ id, pool, processes }) => {
    if (pool === undefined || pods.has(id)) return [];
    const gone = processes.filter(({ pid, startTime }) => found.startTimes.get(pid) !== startTime);
    const problems = gone.map(({ role, pid }) => `its ${role}, process ${pid}, has gone`);
    const netns = netnsPath(config, id);
    if (!found.mounts.includes(netns)) problems.push(`its network namespace ${netns} is not mounted`);
    return problems.map((problem): Trouble => ({ kind: "ready Box", what: id, problem, remedy: restart }));
  });
}

/** A daemon that serves is making it, and takes away what it is made of. */
function halfMade({ served, halfMade: { paths } }: Found): Trouble[] {
  if (served) return [];
  return paths.map((what) => {
    return { kind: "template", what, problem: "half made, and no daemon runs", remedy: restart };
  });
}

function unreadable({ unreadable: files }: Known): Trouble[] {
  return files.map(({ file, reason }) => {
    const remedy = "the daemon's next start puts it aside, in the directory quarantine, and goes on without it";
    return { kind: "record", what: file, problem: `can't be read: ${reason}`, remedy };
  });
}

/** What records say is there, and is not. */
function lost(known: Known, found: Found, config: Config): Trouble[] {
  const troubles: Trouble[] = [];
  for (const sandbox of known.sandboxes) {
    const state = podState(sandbox);
    if (state === "creating" && !found.served) {
      troubles.push({ kind: "sandbox", what: sandbox.id, problem: "half made, and no daemon runs", remedy: restart });
    }
    if (state === "ready") troubles.push(...lostOf(sandbox, found, config), ...lostMounts(sandbox, known, found));
  }
  const ids = new Set<string>(known.sandboxes.map(({ id }) => id));
  for (const { id, sandboxId } of known.containers) {
    if (ids.has(sandboxId)) continue;
    const problem = `its sandbox ${sandboxId} has no record`;
    troubles.push({ kind: "container", what: id, problem, remedy: restart });
  }
  return troubles;
}

function lostOf(sandbox: PodRecord, found: Found, config: Config): Trouble[] {
  const { box, id, netnsPath } = sandbox;
  const problems: string[] = [];
  for (const { role, pid, startTime } of box?.processes ?? []) {
    if (found.startTimes.get(pid) !== startTime) problems.push(`its ${role}, process ${pid}, has gone`);
  }
  const share = box === undefined ? undefined : boxDirectoryAt(box.directory).share;
  if (share !== undefined && isBelow(share, config.state) && !found.mounts.includes(share)) {
    problems.push(`its share ${share} is not mounted`);
  }
  if (isBelow(netnsPath, config.state) && !found.mounts.includes(netnsPath)) {
    problems.push(`its network namespace ${netnsPath} is not mounted`);
  }
  for (const path of box?.cgroups ?? []) {
    if (basename(path) === id && !found.cgroupsThere.has(path)) problems.push(`its cgroup ${path} has gone`);
  }
  return problems.map((problem) => ({ kind: "sandbox", what: id, problem, remedy: seen }));
}

function lostMounts(sandbox: PodRecord, known: Known, found: Found): Trouble[] {
  const mounts = new Set(found.mounts);
  return known.containers
    .filter((container) => container.sandboxId === sandbox.id && containerState(container) !== "exited")
    .flatMap(({ id, sharedPaths }) =>
      sharedPaths
        .filter((path) => !mounts.has(path))
        .map((path): Trouble => {
          const remedy = "what the container finds there is empty: stop it, and kubelet makes a new one";
          return { kind: "container", what: id, problem: `${path} is not mounted`, remedy };
        }),
    );
}

/** What is there, and in no record. */
function orphans(known: Known, found: Found, config: Config): Trouble[] {
  const ids = new Set<string>(known.sandboxes.map(({ id }) => id));
  const ready = ofPool(found).map(({ id }) => id);
  const shortNames = new Set([...ids, ...ready].map((id) => id.slice(0, shortNameDigits)));
  const unknown = (kind: Trouble["kind"], whats: readonly string[]): Trouble[] =>
    whats.map((what) => ({ kind, what, problem: "no record names it", remedy: restart }));
  const boxes = [...found.boxDirectories.keys()].filter((name) => !shortNames.has(name));
  const containers = new Set<string>(known.containers.map(({ id }) => id));
  return [
    ...strayProcesses(known, found),
    ...unknown(
      "directory",
      boxes.map((name) => join(boxesDirectory(config.state), name)),
    ),
    ...unknown("mount", strayMounts(known, found, config, shortNames)),
    ...unknown(
      "namespace",
      found.netns.filter((name) => !shortNames.has(name)).map((name) => join(netnsDirectory(config), name)),
    ),
    ...unknown(
      "cgroup",
      found.emptyCgroups.filter((path) => !ids.has(basename(path)) && !found.halfMade.ids.has(basename(path))),
    ),
    ...unknown(
      "directory",
      found.podDirectories.filter((name) => !ids.has(name)).map((name) => `sandboxes/${name}`),
    ),
    ...unknown(
      "snapshot",
      found.snapshots.filter((key) => !containers.has(key) && !found.young.has(key)),
    ),
  ];
}

/** VMMs and file servers that neither a sandbox's record nor that of a Box being made names; their children are theirs. */
function strayProcesses(known: Known, found: Found): Trouble[] {
  const named = new Set<number>([
    ...known.sandboxes.flatMap(({ box }) => box?.processes.map(({ pid }) => pid) ?? []),
    ...[...found.boxDirectories.values()].flatMap((record) => record?.processes.map(({ pid }) => pid) ?? []),
  ]);
  const byPid = new Map(found.processes.map((one) => [one.pid, one]));
  const isNamed = (pid: number): boolean => {
    for (let at = byPid.get(pid); at !== undefined; at = byPid.get(at.parent)) if (named.has(at.pid)) return true;
    return false;
  };
  return found.processes
    .filter(({ pid }) => !isNamed(pid))
    .map(({ pid, program, box }) => {
      const problem = `${program} of Box ${box}: no record names it`;
      return { kind: "process", what: String(pid), problem, remedy: `kill -9 ${pid}, if no daemon is starting it now` };
    });
}

/** Below a known Box: entries of its share that none of its containers has. Elsewhere: all. */
function strayMounts(
  known: Known,
  found: Found,
  config: Directories,
  shortNames: ReadonlySet<string>,
): readonly string[] {
  const shared = new Set(known.containers.flatMap(({ sharedPaths }) => sharedPaths));
  const followed = known.containers.flatMap((record) => record.followed.map(({ place }) => submountsBegin(place)));
  return [...new Set(found.mounts)].filter((target) => {
    const [area = "", name = "", directory, kind, entry] = target.slice(config.state.length + 1).split("/");
    if (area !== "boxes" && area !== "netns") return false;
    if (!shortNames.has(name)) return true;
    const isEntry = directory === "share" && areas.some((area) => area === kind) && entry !== undefined;
    if (!isEntry) return false;
    if ([...found.young].some((path) => target === path || isBelow(target, path))) return false;
    if (followed.some((begin) => target.startsWith(begin))) return false;
    return ![...shared].some((path) => target === path || isBelow(target, path));
  });
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

/** How those of a volume begin: they come and go with the host's mounts, and so are in no record. */
function submountsBegin(place: string): string {
  return join(dirname(place), submountPrefix(place));
}
