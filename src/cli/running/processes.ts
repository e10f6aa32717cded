import { readFile, readlink } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { namesIn } from "../../base/names-in.js";
import { procStat } from "../../base/proc-stat.js";
import { shortNameDigits } from "../../config/paths.js";
import { boxesFolder } from "../../vmm/box-folder.js";
import { parseMountinfo, type MountLine } from "../../base/mountinfo.js";

/** A VMM, a file server, or the agent of a pod of the host. */
export interface BoxProcess {
  readonly pid: number;
  readonly parent: number;
  readonly program: string;
  /** Name of its Box's folder. */
  readonly box: string;
}

const programs = /^(qemu-system-.*|virtiofsd|a3s-box-launcher|agent)$/;
const boxName = new RegExp(`^[0-9a-f]{${shortNameDigits}}`);

/**
 * The processes of Boxes of this state folder. One that is jailed has no path of the machine in its command line: it is
 * known by its cgroup, which has the sandbox's id for a name, and by what it has mounted.
 */
export async function boxProcesses(state: string, mounts: readonly MountLine[]): Promise<BoxProcess[]> {
  const found: BoxProcess[] = [];
  const folders = new Set([`${boxesFolder(state)}/`, `${insideItsFileSystem(boxesFolder(state), mounts)}/`]);
  for (const name of await namesIn("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const one = await boxProcess(pid, [...folders]).catch(() => undefined); // it has ended meanwhile
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** Undefined when there is no such process, or only its remains. */
export async function startTimeOf(pid: number): Promise<bigint | undefined> {
  const stat = await procStat(pid);
  return stat === undefined || stat.state === "Z" ? undefined : stat.startTime;
}

async function boxProcess(pid: number, folders: readonly string[]): Promise<BoxProcess | undefined> {
  const program = basename((await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, ""));
  if (!programs.test(program)) return undefined;
  const stat = await procStat(pid);
  if (stat === undefined || stat.state === "Z") return undefined;
  const box = nameIn(await readFile(`/proc/${pid}/cmdline`, "utf8"), folders) ?? (await boxOfJailed(pid, folders));
  return box === undefined ? undefined : { pid, parent: stat.parent, program, box };
}

async function boxOfJailed(pid: number, folders: readonly string[]): Promise<string | undefined> {
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const id = /\/([0-9a-f]{64})(?:\/[^\n]*)?$/m.exec(groups)?.[1];
  const roots = parseMountinfo(await readFile(`/proc/${pid}/mountinfo`, "utf8")).map(({ root }) => root);
  const names = roots.flatMap((root) => nameIn(`${root}/`, folders) ?? []);
  return id === undefined ? names[0] : names.find((name) => id.startsWith(name));
}

function nameIn(text: string, folders: readonly string[]): string | undefined {
  for (const folder of folders) {
    const at = text.indexOf(folder);
    const name = at === -1 ? undefined : boxName.exec(text.slice(at + folder.length))?.[0];
    if (name !== undefined) return name;
  }
  return undefined;
}

/** What mountinfo calls the root of a bind mount of that folder. */
function insideItsFileSystem(folder: string, mounts: readonly MountLine[]): string {
  const above = mounts.filter(({ target }) => target === "/" || folder.startsWith(`${target}/`));
  const mount = above.reduce((best, one) => (one.target.length >= best.target.length ? one : best));
  return join(mount.root, relative(mount.target, folder));
}
