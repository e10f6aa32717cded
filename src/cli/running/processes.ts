import { readFile, readlink } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { namesIn } from "../../base/names-in.js";
import { procStat } from "../../base/proc-stat.js";
import { shortNameDigits } from "../../config/paths.js";
import { boxesDirectory } from "../../vmm/box-directory.js";
import { parseMountinfo, type MountLine } from "../../base/mountinfo.js";

/** A VMM, a file server, or the agent of a pod of the host. */
export interface BoxProcess {
  readonly pid: number;
  readonly parent: number;
  readonly program: string;
  /** Name of its Box's directory. */
  readonly box: string;
}

const programs = /^(qemu-system-.*|virtiofsd|a3s-box-launcher|agent)$/;
const boxName = new RegExp(`^[0-9a-f]{${shortNameDigits}}`);

/**
 * The processes of Boxes of this state directory. One that is jailed has no path of the machine in its command line: it is
 * known by its cgroup, which has the sandbox's id for a name, and by what it has mounted.
 */
export async function boxProcesses(state: string, mounts: readonly MountLine[]): Promise<BoxProcess[]> {
  const found: BoxProcess[] = [];
  const directories = boxDirectoriesIn(state, mounts);
  for (const name of await namesIn("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const one = await boxProcess(pid, directories).catch(() => undefined); // it has ended meanwhile
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** Undefined when there is no such process, or only its remains. */
export async function startTimeOf(pid: number): Promise<bigint | undefined> {
  const stat = await procStat(pid);
  return stat === undefined || stat.state === "Z" ? undefined : stat.startTime;
}

async function boxProcess(pid: number, directories: BoxDirectories): Promise<BoxProcess | undefined> {
  const program = await programOf(pid);
  if (!programs.test(program)) return undefined;
  const stat = await procStat(pid);
  if (stat === undefined || stat.state === "Z") return undefined;
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8");
  const at = commandLine.indexOf(directories.path);
  const box =
    (at === -1 ? undefined : nameIn(commandLine.slice(at), directories.path)) ?? (await boxOfJailed(pid, directories));
  return box === undefined ? undefined : { pid, parent: stat.parent, program, box };
}

/** The agent of a pod of the host runs from a mount that is nowhere, where its file has no name; it starts itself by a link. */
async function programOf(pid: number): Promise<string> {
  const path = (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, "");
  if (path !== "/") return basename(path);
  const [called = ""] = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
  return called === "/proc/self/exe" ? "agent" : basename(called);
}

async function boxOfJailed(pid: number, directories: BoxDirectories): Promise<string | undefined> {
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const id = /\/([0-9a-f]{64})(?:\/[^\n]*)?$/m.exec(groups)?.[1];
  const mounts = parseMountinfo(await readFile(`/proc/${pid}/mountinfo`, "utf8"));
  const names = mounts
    // who has a Box's mount where the host has it is in no jail: another's file server, with a copy of all mounts
    .filter(({ device, target }) => device === directories.device && !target.startsWith(directories.path))
    .flatMap(({ root }) => nameIn(`${root}/`, directories.root) ?? []);
  return id === undefined ? names[0] : names.find((name) => id.startsWith(name));
}

function nameIn(path: string, directory: string): string | undefined {
  return path.startsWith(directory) ? boxName.exec(path.slice(directory.length))?.[0] : undefined;
}

/** Where Boxes have their directories, with a slash at its end. */
interface BoxDirectories {
  readonly path: string;
  /** Of its file system, and where it is in there: what mountinfo calls the root of a bind mount of it. */
  readonly device: string;
  readonly root: string;
}

function boxDirectoriesIn(state: string, mounts: readonly MountLine[]): BoxDirectories {
  const path = boxesDirectory(state);
  const above = mounts.filter(({ target }) => target === "/" || path.startsWith(`${target}/`));
  const { device, root, target } = above.reduce((best, one) => (one.target.length >= best.target.length ? one : best));
  return { path: `${path}/`, device, root: `${join(root, relative(target, path))}/` };
}
