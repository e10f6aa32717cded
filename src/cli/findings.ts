import { constants } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.js";
import { createLogger } from "../base/log.js";
import { isUsable } from "../base/is-there.js";
import type { Config } from "../config/config.js";
import { loadNative } from "../native/addon.js";
import { unpackerPath } from "../image/unpack/unpacker.js";
import { Networks } from "../net/networks.js";
import { chooseDriver, findQemu } from "../vmm/choose-driver.js";
import { apparmorFinding } from "./apparmor-finding.js";
import { fileServerFinding } from "./file-server-finding.js";
import { outliveFindings } from "./outlive-finding.js";
import { egressFinding } from "./egress-finding.js";
import type { Finding } from "./finding.js";
import { cgroupDriverFinding, nativeFinding } from "./pod-findings.js";
import { poolFindings } from "./pool-finding.js";
import { libkrunPath, launcherPath, probeKvm } from "../vmm/probe.js";

const setUp = "npm run quickstart sets it up";
const qemuPackage = "apt install qemu-system-x86 (Debian 12: from bookworm-backports)";
const networkLimitMs = 10_000;

/** KVM, the driver that would be taken, and the files that it needs. */
export async function driverFindings(config: Config): Promise<{ chosen: string; findings: Finding[] }> {
  const assetsDir = config.assets.dir;
  const verdict = await probeKvm(assetsDir);
  const choice = await chooseDriver(config.driver, assetsDir);
  const isKrun = choice.driver === "krun";
  const kvmRemedy = "enable virtualization, or nested virtualization of this VM; without it Boxes are emulated";
  const launcher = await file("launcher", launcherPath(assetsDir), true, setUp);
  const remedy = launcher.verdict === "OK" ? kvmRemedy : setUp;
  const kvm: Finding = verdict.usable
    ? { subject: "KVM", verdict: "OK", detail: verdict.reason }
    : { subject: "KVM", verdict: isKrun ? "missing" : "optional", detail: verdict.reason, remedy };
  const findings = [
    kvm,
    { subject: "driver", verdict: "OK" as const, detail: `${choice.driver}: ${choice.reason}` },
    launcher,
    await file("libkrun", libkrunPath(assetsDir), isKrun, setUp),
    await qemu(config, !isKrun),
    await file("virtiofsd", join(assetsDir, "bin/virtiofsd"), !isKrun, setUp),
    await file("guest kernel", join(assetsDir, "kernel/vmlinux.elf"), true, setUp),
    await file("agent", join(assetsDir, "guest/usr/bin/agent"), true, setUp),
    await file("crun for the guest", join(assetsDir, "guest/usr/bin/crun"), true, setUp),
    await file("unpacker", unpackerPath(assetsDir), true, setUp),
    addon(assetsDir),
  ];
  return { chosen: choice.driver, findings };
}

/** Kernel features and rights. */
export async function hostFindings(config: Config): Promise<Finding[]> {
  const isRoot = process.getuid?.() === 0;
  const filesystems = await textOf("/proc/filesystems");
  const overlay = /\toverlay$/m.test(filesystems);
  return [
    isRoot
      ? { subject: "root", verdict: "OK", detail: "uid 0" }
      : { subject: "root", verdict: "missing", detail: "an ordinary user", remedy: "run it as root" },
    overlay
      ? { subject: "overlay", verdict: "OK", detail: "in /proc/filesystems" }
      : { subject: "overlay", verdict: "missing", detail: "not in /proc/filesystems", remedy: "modprobe overlay" },
    ...(await Promise.all(["net", "mnt", "ipc", "uts", "pid"].map(namespace))),
    await cgroups(),
    await cgroupDriverFinding(config),
    await nativeFinding(config),
    await fileServerFinding(config),
    await apparmorFinding(config),
    await file("/dev/fuse", "/dev/fuse", false, "modprobe fuse"),
    ...(await poolFindings(config)),
    ...(await outliveFindings(config)),
  ];
}

/** For pod networks: only pods that have none do without. */
export async function networkFindings(config: Config): Promise<Finding[]> {
  const networks = new Networks(config.cni, createLogger("error"));
  const state = await networks.state(AbortSignal.timeout(networkLimitMs));
  const subject = "network";
  const configured: Finding = state.ready
    ? { subject, verdict: "OK", detail: `${state.network}, from ${state.file}` }
    : { subject, verdict: "optional", detail: state.message, remedy: 'or run with network = "loopback"' };
  return [
    await file("/dev/net/tun", "/dev/net/tun", false, "modprobe tun"),
    await redirection(config),
    await cniPlugins(config),
    configured,
    await egressFinding(config),
  ];
}

/** Joins two taps in a namespace of its own, as a sandbox's interface is joined with its Box. */
async function redirection(config: Config): Promise<Finding> {
  const subject = "traffic redirection";
  const directory = await mkdtemp(join(tmpdir(), "a3s-check-"));
  const netns = join(directory, "netns");
  try {
    const { native } = loadNative(config.assets.dir);
    try {
      await native.createNetns(netns);
      for (const name of ["a", "b"]) await native.createTap(netns, name);
      await native.redirectLinks(netns, "a", "b");
      return { subject, verdict: "OK", detail: "tap, ingress, u32 and mirred work" };
    } finally {
      await native.removeNetns(netns);
    }
  } catch (thrown) {
    const remedy = "modprobe -a tun sch_ingress cls_u32 act_mirred";
    return { subject, verdict: "optional", detail: messageOf(thrown), remedy };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function qemu({ assets, qemu: { binary } }: Config, needed: boolean): Promise<Finding> {
  const subject = "QEMU";
  try {
    return { subject, verdict: "OK", detail: await findQemu(assets.dir, binary) };
  } catch (thrown) {
    return { subject, verdict: needed ? "missing" : "optional", detail: messageOf(thrown), remedy: qemuPackage };
  }
}

async function file(subject: string, path: string, needed: boolean, remedy: string): Promise<Finding> {
  if (await isUsable(path, constants.R_OK)) return { subject, verdict: "OK", detail: path };
  return { subject, verdict: needed ? "missing" : "optional", detail: `no ${path}`, remedy };
}

function addon(assetsDir: string): Finding {
  try {
    loadNative(assetsDir);
    return { subject: "addon", verdict: "OK", detail: join(assetsDir, "native/a3s_box.node") };
  } catch (thrown) {
    return { subject: "addon", verdict: "missing", detail: messageOf(thrown), remedy: setUp };
  }
}

async function namespace(kind: string): Promise<Finding> {
  const path = `/proc/self/ns/${kind}`;
  return await file(`${kind} namespaces`, path, true, "a kernel with namespaces (CONFIG_NAMESPACES)");
}

/** Boxes live in a cgroup below the pod's, in v2 or in each v1 hierarchy (cgroups(7)). */
async function cgroups(): Promise<Finding> {
  const subject = "cgroups";
  const v2 = await textOf("/sys/fs/cgroup/cgroup.controllers");
  const detail = (layout: string, controllers: string[]): string =>
    `${layout}: ${controllers.filter((name) => wanted.includes(name)).join(", ")}`;
  const wanted = ["cpu", "memory", "pids", "cpuset"];
  if (v2 !== "") return { subject, verdict: "OK", detail: detail("v2", v2.trim().split(" ")) };
  const lines = (await textOf("/proc/self/mountinfo")).split("\n").filter((line) => line.includes(" - cgroup "));
  const v1 = lines.flatMap((line) => (line.split(" ").at(-1) ?? "").split(","));
  if (v1.includes("memory")) return { subject, verdict: "OK", detail: detail("v1", v1) };
  const remedy = "mount -t cgroup2 none /sys/fs/cgroup";
  return { subject, verdict: "optional", detail: "no memory controller: pods can't be limited on the host", remedy };
}

async function cniPlugins({ cni }: Config): Promise<Finding> {
  const subject = "CNI plugins";
  for (const directory of cni.binDirs) {
    const names = await readdir(directory).catch(() => []);
    if (names.length > 0) return { subject, verdict: "OK", detail: `${directory}: ${names.sort().join(" ")}` };
  }
  const remedy = "apt install containernetworking-plugins";
  return { subject, verdict: "optional", detail: `none in ${cni.binDirs.join(" or ")}`, remedy };
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
