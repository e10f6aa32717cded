/**
 * What a test's daemon has of the machine: mounts, processes, cgroups, sockets, files. Taken before and after, the two
 * must be equal: nothing that failed, was stopped or was removed may leave anything behind.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { boxDirectoryAt, boxesDirectory, readBoxRecord } from "../../src/vmm/box-directory.js";
import { isPoolGroup } from "../../src/vmm/cgroup/plan.js";
import { halfMadeIn, templatesDirectory } from "../../src/vmm/templates/half-made.js";
import { eventually } from "./wait.js";

export interface MachineScope {
  readonly daemonPid: number;
  /** The daemon's directory; root and state are below it. */
  readonly base: string;
  /** Name of the cgroup that its pods live below: "/a3s-x1". */
  readonly cgroupParent: string;
  /** How many Boxes are kept ready for every test (`A3S_TEST_START=pool`): they are no pod's, and in no state. */
  readonly readyBoxes: number;
}

export type MachineState = Readonly<
  Record<"mounts" | "processes" | "cgroups" | "sockets" | "files", readonly string[]>
>;

/** Programs that only a Box or a container has. */
const boxPrograms = /^(qemu-system-|virtiofsd|a3s-box-launcher|crun|agent)/;

/**
 * Waits while a template or a Box that is kept ready is made behind the pods: they are no pod's, and what a template is made of
 * goes by itself. What does not go is a leftover.
 */
export async function machineState(scope: MachineScope): Promise<MachineState> {
  return await eventually("nothing is being made behind the pods", 90_000, async () => {
    const before = await madeBehind(scope);
    if (before === undefined) return undefined;
    const { mounts, processes, cgroups, sockets, files } = await machineNow(scope);
    const after = await madeBehind(scope);
    if (after === undefined || before.join() !== after.join()) return undefined;
    const ofPods = (lines: readonly string[]): string[] =>
      lines.filter((line) => !before.some((name) => line.includes(name)));
    const paths = { cgroups: ofPods(cgroups), sockets: ofPods(sockets), files: ofPods(files) };
    return { mounts: ofPods(mounts), processes, ...paths };
  });
}

/** Names of the directories of Boxes that are ready; undefined while a template or a Box is being made for nobody. */
async function madeBehind(scope: MachineScope): Promise<string[] | undefined> {
  if ((await halfMadeIn(stateOf(scope.base))).paths.length > 0) return undefined;
  const all = await nobodysBoxes(scope);
  const ready = all.filter(({ isReady }) => isReady);
  return ready.length < scope.readyBoxes || ready.length < all.length ? undefined : ready.map(({ name }) => name);
}

interface NobodysBox {
  /** Of its directory. */
  readonly name: string;
  readonly isReady: boolean;
}

/** Of the pool that is kept for every test: those that are ready, and those that it is making. A test of the pool has its own. */
async function nobodysBoxes({ base, readyBoxes }: MachineScope): Promise<NobodysBox[]> {
  if (readyBoxes === 0) return [];
  const directory = boxesDirectory(stateOf(base));
  const found: NobodysBox[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const record = await readBoxRecord(boxDirectoryAt(join(directory, name))).catch(() => undefined);
    const isReady = record?.pool !== undefined;
    if (isReady || ((record?.cgroups.length ?? 0) > 0 && record?.cgroups.every(isPoolGroup) === true))
      found.push({ name, isReady });
  }
  return found;
}

function stateOf(base: string): string {
  return join(base, "state");
}

async function machineNow(scope: MachineScope): Promise<MachineState> {
  const [mounts, processes, cgroups, sockets, files] = await Promise.all([
    mountsOf(scope),
    machineProcesses(scope),
    cgroupsOf(scope),
    socketsOf(scope),
    filesOf(scope.base),
  ]);
  return { mounts, processes, cgroups, sockets, files };
}

/** A template's are a leftover by now; those of Boxes that are ready are none. */
async function machineProcesses(scope: MachineScope): Promise<string[]> {
  const all = scope.readyBoxes === 0 ? await allProcesses(scope) : await boxProcesses(scope);
  return all.map(({ name, pid }) => `${name} (${pid})`);
}

/** What differs, a line each; empty when nothing does. */
export function machineDifference(before: MachineState, after: MachineState): string[] {
  const lines: string[] = [];
  for (const kind of ["mounts", "processes", "cgroups", "sockets", "files"] as const) {
    const was = new Set(before[kind]);
    const is = new Set(after[kind]);
    for (const entry of is) if (!was.has(entry)) lines.push(`${kind}: left behind: ${entry}`);
    for (const entry of was) if (!is.has(entry)) lines.push(`${kind}: gone: ${entry}`);
  }
  return lines;
}

/** Fails unless the machine is as it was. A process that was killed may take a moment to be reaped. */
export async function expectSameMachine(scope: MachineScope, before: MachineState, limitMs = 3_000): Promise<void> {
  await eventually("the machine is as it was before", limitMs, async () => {
    const lines = machineDifference(before, await machineState(scope));
    if (lines.length > 0) throw new Error(`\n  ${lines.slice(0, 40).join("\n  ")}`);
    return true;
  });
}

async function mountsOf(scope: MachineScope): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  const mounts: string[] = [];
  for (const line of text.split("\n")) {
    const [left, right] = line.split(" - ");
    const mountPoint = left?.split(" ")[4];
    if (mountPoint === undefined || right === undefined) continue;
    const type = right.split(" ")[0] ?? "";
    const elsewhere = /^\/(tmp|run)\//.test(mountPoint) && !mountPoint.startsWith(scope.base);
    if (!elsewhere) mounts.push(`${mountPoint} (${type})`);
  }
  return mounts.sort();
}

export interface BoxProcess {
  readonly pid: number;
  /** The program's file name. */
  readonly name: string;
}

/**
 * Processes of this daemon's Boxes: its descendants, and those of any parent that name its directory; none of a template's, nor
 * of a Box that is no pod's yet.
 */
export async function boxProcesses(scope: MachineScope): Promise<BoxProcess[]> {
  return (await allProcesses(scope)).filter(({ isNobodys }) => !isNobodys);
}

interface FoundProcess {
  readonly parent: number;
  readonly name: string;
  readonly ours: boolean;
  readonly isNobodys: boolean;
}

async function allProcesses(scope: MachineScope): Promise<(BoxProcess & { readonly isNobodys: boolean })[]> {
  const all = new Map<number, FoundProcess>();
  const state = stateOf(scope.base);
  const nobodys = (await nobodysBoxes(scope)).map(({ name }) => `${boxesDirectory(state)}/${name}`);
  nobodys.push(`${templatesDirectory(state)}/boxes/`);
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = await readFile(`/proc/${entry}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z" || state === "X") continue;
      const command = (await readFile(`/proc/${entry}/cmdline`, "utf8")).replaceAll("\0", " ");
      const [called = ""] = command.split(" ");
      const path = await readlink(`/proc/${entry}/exe`).catch(() => called);
      const program = path === "/" ? called : path; // of a mount that is nowhere: the agent of a pod of the host
      all.set(Number(entry), {
        parent: Number(parent),
        name: basename(program.replace(/ \(deleted\)$/, "")),
        ours: command.includes(`${scope.base}/`) && boxPrograms.test(basename(program)),
        isNobodys: nobodys.some((directory) => command.includes(directory)),
      });
    } catch {
      // It has ended meanwhile.
    }
  }
  const hasAbove = (pid: number, is: (one: FoundProcess) => boolean): boolean => {
    for (let at = all.get(pid), steps = 0; at !== undefined && steps < 20; at = all.get(at.parent), steps++) {
      if (is(at)) return true;
    }
    return false;
  };
  return [...all]
    .filter(([pid]) => hasAbove(pid, ({ ours, parent }) => ours || parent === scope.daemonPid))
    .map(([pid, { name }]) => ({ pid, name, isNobodys: hasAbove(pid, ({ isNobodys }) => isNobodys) }));
}

/** Groups that other daemons have made: other tests', and the usual parent of a sandbox that names none. */
const othersCgroups = /^a3s-(t|box$)/;
/** A group of a sandbox or container, wherever it is. */
const idCgroup = /\/[0-9a-f]{64}(\/|$)/;

/** Groups below this daemon's parent in every hierarchy, and those named by an id anywhere but below other daemons'. */
async function cgroupsOf(scope: MachineScope): Promise<string[]> {
  const found: string[] = [];
  const visit = async (directory: string): Promise<void> => {
    for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
      if (!entry.isDirectory()) continue;
      const path = join(directory, entry.name);
      if (othersCgroups.test(entry.name) && `/${entry.name}` !== scope.cgroupParent) continue;
      if (path.includes(`${scope.cgroupParent}/`) || idCgroup.test(path)) found.push(path);
      await visit(path);
    }
  };
  await visit("/sys/fs/cgroup");
  return found.sort();
}

async function socketsOf(scope: MachineScope): Promise<string[]> {
  const names = new Set<string>();
  for (const line of (await readFile("/proc/net/unix", "utf8")).split("\n").slice(1)) {
    const [, , , flags, , , , name] = line.trim().split(/\s+/);
    const listening = flags === "00010000";
    if (name !== undefined && listening && (name.startsWith(scope.base) || name.startsWith("@a3s"))) names.add(name);
  }
  return [...names].sort();
}

/** Directories that are made once, when they are first needed, or once for each daemon. */
const onceMade = /^(root|state)\/([^/]+|images\/[^/]+|images\/ingest\/[^/]+|templates\/boxes)$/;

/** What Boxes go on from stays, for the next. */
const template = /^state\/templates\/[0-9a-f]+\.ram$/;

/** Of a daemon's own ingest directory: there as long as the daemon is, and the next one's has another name. */
const ownLock = /^root\/images\/ingest\/[^/]+\/writers\.lock$/;

/** Of an unpacked layer: made when a Box first wants it, and there as long as the layer is. */
const layerFile = /^root\/images\/layers\/[^/]+\/[^/]+\.erofs$/;

function isOnceMade(path: string, isDirectory: boolean): boolean {
  return isDirectory ? onceMade.test(path) : [ownLock, template, layerFile].some((kept) => kept.test(path));
}

/** Every path below the directory; of an unpacked layer only its directory, of what is mounted nothing. */
async function filesOf(base: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (directory: string, depth: number): Promise<void> => {
    for (const entry of await readdir(join(base, directory), { withFileTypes: true }).catch(() => [])) {
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
      if (!isOnceMade(path, entry.isDirectory())) found.push(path);
      const deep = /\/layers\/[^/]+\/fs$/.test(path) || /\/(share|layout)$/.test(path) || depth > 8;
      if (entry.isDirectory() && !deep) await visit(path, depth + 1);
    }
  };
  await visit("", 0);
  return found.filter((path) => !path.startsWith("logs/") && path !== "daemon.log").sort();
}

/** Resident memory of a process, in KiB (proc(5), VmRSS). */
export async function residentKib(pid: number): Promise<number> {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, "utf8"));
  if (match?.[1] === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return Number(match[1]);
}

/** What a process holds open, by kind. */
export async function openDescriptors(pid: number): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${entry}`).catch(() => undefined);
    if (target !== undefined) found.push(target.replace(/\[\d+\]/, ""));
  }
  return found.sort();
}
