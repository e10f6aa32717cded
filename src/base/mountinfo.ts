import { readFile } from "node:fs/promises";

/** One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)), as far as we need it. */
export interface MountLine {
  /** Unique for as long as it is mounted. */
  readonly mountId: number;
  /** Of its file system: "8:1". */
  readonly device: string;
  /** Root of the mount within its file system. */
  readonly root: string;
  readonly target: string;
  readonly type: string;
  /** "shared:9", "master:4": how mounts in it propagate; none is private. */
  readonly propagation: readonly string[];
  /** Options of the file system: for cgroup v1 the controllers. */
  readonly superOptions: readonly string[];
}

/** Space, tab, newline and backslash are written as three octal digits. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** In the order of the file: a mount stands after those below it. Lines that can't be read are left out. */
export function parseMountinfo(text: string): MountLine[] {
  const lines: MountLine[] = [];
  for (const line of text.split("\n")) {
    // The first one: what is mounted may be called "-" too.
    const separator = line.indexOf(" - ");
    if (separator === -1) continue;
    const [mountId, , device, root, target, , ...propagation] = line.slice(0, separator).split(" ");
    const [type, , options] = line.slice(separator + " - ".length).split(" ");
    if (device === undefined || root === undefined || target === undefined || type === undefined) continue;
    const superOptions = options === undefined ? [] : options.split(",");
    const paths = { root: unescapePath(root), target: unescapePath(target) };
    lines.push({ mountId: Number(mountId), device, ...paths, type, propagation, superOptions });
  }
  return lines;
}

export async function readMountinfo(): Promise<MountLine[]> {
  return parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/** Or the directory itself. */
export function isBelow(path: string, directory: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}

/** Mount points at or below a directory, deepest first, as often as something is mounted on them. */
export function mountsBelow(lines: readonly MountLine[], directory: string): string[] {
  return lines
    .map((line) => line.target)
    .filter((target) => isBelow(target, directory))
    .reverse();
}

/** The mount that a path is on: of the deepest that it is below, the last. */
export function mountOf(path: string, lines: readonly MountLine[]): MountLine | undefined {
  let found: MountLine | undefined;
  for (const line of lines) {
    if (isBelow(path, line.target) && line.target.length >= (found?.target.length ?? 0)) found = line;
  }
  return found;
}
