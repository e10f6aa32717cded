/** What a container may have taken from this process that a Box needs: tried where it can be, read where it can't. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cgroupHierarchies } from "../base/cgroups.js";
import { errnoOf, messageOf } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import { mountOf, readMountinfo } from "../base/mountinfo.js";
import type { Config } from "../config/config.js";
import { loadNative } from "../native/addon.js";
import { vmmUserRange } from "../vmm/box-ids.js";
import { enterArguments, jailedProgram } from "../vmm/drivers/jailed-program.js";
import { launcherPath } from "../vmm/probe.js";
import type { Finding } from "./finding.js";

/** capabilities(7), by their numbers: what jails, networks, shares and layers are made with. */
export const neededCapabilities: ReadonlyMap<number, string> = new Map([
  ...([
    [0, "CHOWN"],
    [1, "DAC_OVERRIDE"],
    [3, "FOWNER"],
    [4, "FSETID"],
    [5, "KILL"],
    [6, "SETGID"],
  ] as const),
  ...([
    [7, "SETUID"],
    [8, "SETPCAP"],
    [12, "NET_ADMIN"],
    [18, "SYS_CHROOT"],
    [21, "SYS_ADMIN"],
  ] as const),
  ...([
    [27, "MKNOD"],
    [31, "SETFCAP"],
  ] as const),
]);
const limitMs = 10_000;
/** launcher/exit_codes.h, kUsage: what the launcher answers that was started without arguments, in a jail. */
const startedInJail = 100;

export async function rightsFindings(config: Config): Promise<Finding[]> {
  const status = await readFile("/proc/self/status", "utf8");
  return [
    capabilitiesFinding(status),
    usersFinding(),
    await jailFinding(config, hasFilter(status)),
    await treesFinding(config),
    await writableFinding("state directory", config.state),
    await groupsFinding(),
    ...(await kvmFinding()),
  ];
}

/** Those in the set that counts: CapEff of proc_pid_status(5). */
export function lackingCapabilities(status: string): string[] {
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  const held = BigInt(`0x${digits ?? "0"}`);
  return [...neededCapabilities].filter(([number]) => ((held >> BigInt(number)) & 1n) === 0n).map(([, name]) => name);
}

export function capabilitiesFinding(status: string): Finding {
  const subject = "capabilities";
  const lacking = lackingCapabilities(status);
  if (lacking.length === 0) return { subject, verdict: "OK", detail: `the ${neededCapabilities.size} that are needed` };
  const added = lacking.map((name) => `--cap-add ${name}`).join(" ");
  const remedy = `docker run ${added}; in Kubernetes securityContext.capabilities.add`;
  return { subject, verdict: "missing", detail: `without ${lacking.join(", ")}`, remedy };
}

/** seccomp(2), mode 2. */
function hasFilter(status: string): boolean {
  return /^Seccomp:\s*2$/m.test(status);
}

function usersFinding(): Finding {
  const subject = "users of Boxes";
  const range = vmmUserRange();
  if (range !== undefined) {
    return { subject, verdict: "OK", detail: `${range.first} to ${range.first + range.count - 1}` };
  }
  const remedy = "a user namespace with 65,536 ids from 0 on (/proc/self/uid_map)";
  return { subject, verdict: "missing", detail: "this user namespace has none for them", remedy };
}

/** The launcher puts itself into a jail as it puts a VMM: mounts, a tmpfs, pivot_root, another user. */
async function jailFinding({ assets }: Config, isFiltered: boolean): Promise<Finding> {
  const subject = "jail of a Box";
  try {
    const launcher = launcherPath(assets.dir);
    const program = await jailedProgram(launcher, [], AbortSignal.timeout(limitMs));
    const user = vmmUserRange()?.first ?? 0;
    const args = enterArguments({ ...program, name: "check", args: [], options: [`user=${user}`] }).slice(1);
    const said = await saidBy(launcher, args);
    if (said === undefined)
      return { subject, verdict: "OK", detail: `entered${isFiltered ? ", under a seccomp filter" : ""}` };
    const remedy = isFiltered
      ? "a seccomp profile that allows pivot_root: docker run --security-opt seccomp=deploy/seccomp.json"
      : "the capabilities above";
    return { subject, verdict: "missing", detail: said, remedy };
  } catch (thrown) {
    return { subject, verdict: "missing", detail: messageOf(thrown), remedy: "see above" };
  }
}

/** Undefined when it has come to be in the jail; else its last line. */
async function saidBy(launcher: string, args: readonly string[]): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const child = execFile(launcher, args, { timeout: limitMs, killSignal: "SIGKILL" }, (_error, stdout, stderr) => {
      const said = `${stdout}\n${stderr}`.trim().split("\n").at(-1) ?? "";
      resolve(child.exitCode === startedInJail ? undefined : said);
    });
  });
}

/** A container's tree, as it is mounted for each: an overlay can't be written to where it lies on another. */
async function treesFinding({ assets, root }: Config): Promise<Finding> {
  const subject = "containers' trees";
  const place = await nearest(root);
  const remedy = `another file system at ${root} (ext4, xfs): a volume (docker run --volume a3s-box:${root})`;
  let directory: string | undefined;
  try {
    const { native } = loadNative(assets.dir);
    directory = await mkdtemp(join(place, ".a3s-box-check-"));
    const at = (name: string): string => join(directory ?? place, name);
    for (const name of ["lower", "upper", "work", "merged"]) await mkdir(at(name));
    const flags = { readonly: false, nosuid: true, nodev: true };
    const target = at("merged");
    await native.mountOverlay({
      lowers: [at("lower")],
      upper: at("upper"),
      work: at("work"),
      target,
      flags,
      index: true,
    });
    await native.unmount(target, true);
    return { subject, verdict: "OK", detail: `overlay on ${place}` };
  } catch (thrown) {
    const type = mountOf(place, await readMountinfo())?.type ?? "unknown";
    return { subject, verdict: "missing", detail: `${place} is on ${type}: ${messageOf(thrown)}`, remedy };
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function writableFinding(subject: string, path: string): Promise<Finding> {
  const place = await nearest(path);
  try {
    await rmdir(await mkdtemp(join(place, ".a3s-box-check-")));
    return { subject, verdict: "OK", detail: `${place} can be written` };
  } catch (thrown) {
    const remedy = `a tmpfs above ${path} (docker run --tmpfs /run)`;
    return { subject, verdict: "missing", detail: messageOf(thrown), remedy };
  }
}

/** Whether each Box can have a group of its own, with limits. */
async function groupsFinding(): Promise<Finding> {
  const subject = "groups of Boxes";
  const closed: string[] = [];
  for (const { mountPoint } of cgroupHierarchies(await readMountinfo())) {
    const directory = join(mountPoint, `.a3s-box-check-${process.pid}`);
    try {
      await mkdir(directory);
      await rmdir(directory);
    } catch {
      closed.push(mountPoint);
    }
  }
  if (closed.length === 0) return { subject, verdict: "OK", detail: "can be made" };
  const remedy = "Boxes share this container's group and its limits; Kubernetes with containerd 2.1: cgroup_writable";
  return { subject, verdict: "optional", detail: `can't be made in ${closed.join(", ")}`, remedy };
}

/** Of the device alone; whether a guest runs is another question. */
async function kvmFinding(): Promise<Finding[]> {
  const subject = "/dev/kvm";
  if (!(await isThere(subject))) return [];
  const { mode, uid, gid } = await stat(subject);
  const shown = `mode 0${(mode & 0o777).toString(8)}, owner ${uid}:${gid}`;
  try {
    await using _device = await open(subject, constants.O_RDWR);
    return [{ subject, verdict: "OK", detail: shown }];
  } catch (thrown) {
    const remedy =
      errnoOf(thrown) === "EACCES"
        ? `chmod 0666 on the node (user namespaces), or its group: docker run --group-add ${gid}`
        : "docker run --device /dev/kvm; in Kubernetes a limit of devices.kubevirt.io/kvm";
    return [{ subject, verdict: "optional", detail: `${shown}: ${errnoOf(thrown) ?? messageOf(thrown)}`, remedy }];
  }
}

/** The directory, or the one above it that is there already. */
async function nearest(path: string): Promise<string> {
  return path === "/" || (await isThere(path)) ? path : await nearest(dirname(path));
}
