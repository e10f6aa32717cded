import { RuntimeError } from "../../../base/errors.js";
import { boxId } from "../../../base/ids.js";
import type { HostIds } from "../../../native/addon.js";
import type { BoxSpec } from "../../box.js";
import type { BoxDirectory } from "../../box-directory.js";
import { deviceMacOf, templateMac, vmmUserOf } from "../../box-ids.js";
import { ofFileServer } from "../jailed-program.js";
import { givenNumbers, kernelCommandLine, rootTag, vmmMaxOpenFiles, type StartRequest } from "../driver.js";

/** Descriptors that the launcher gives, in the order of its options. */
const firstInherited = 3;

/**
 * So many requests may hang in a file system of the host (a dead NFS, a FUSE without a server) before the Box's other ones wait
 * (docs/adr/0149).
 */
const fileServerThreads = 16;

/**
 * virtiofsd(1), in the jail that the launcher has made. Without CAP_MKNOD, which counts for nothing in a user namespace. `--sandbox chroot` makes the share its root and changes nothing
 * else; `--inode-file-handles never`, because handles want CAP_DAC_READ_SEARCH, which opens any file of a file system of
 * which one directory is shared; `--xattr` because images carry file capabilities. Submounts are announced by default: each
 * host file system keeps its own device number in the guest.
 */
export function virtiofsdArguments({ idMap }: Pick<BoxSpec, "idMap">): string[] {
  return [
    `--fd=${firstInherited}`,
    "--shared-dir=/share",
    "--sandbox=chroot",
    "--inode-file-handles=never",
    "--xattr",
    `--thread-pool-size=${fileServerThreads}`,
    // Where a guest's kernel has ACLs, they are its users' too. Ids in them would not be translated.
    ...(idMap === undefined ? ["--posix-acl=auto"] : []),
    "--modcaps=-mknod",
    // Takes the limit it is started with: its own attempt at a million ends in a warning where the hard limit is lower.
    "--rlimit-nofile=0",
    "--log-level=warn",
    ...(idMap === undefined ? [] : [translation("uid", idMap.uids), translation("gid", idMap.gids)]),
  ];
}

/**
 * With those that take the guest's requests and QEMU's, and a few more. Only of a server whose user is its own: the kernel counts all
 * that a user runs, and the daemon's user has more (the host's root is counted and not held to it; root of a container's user
 * namespace is).
 */
const fileServerProcesses = fileServerThreads + 16;

/**
 * What the launcher prepares for virtiofsd. Of proc it opens files again by their descriptors. It reads two more files when it
 * starts and makes nothing of them (what is mounted: for file handles; the most a limit can be: to raise it). It would answer
 * a guest's sync with syncfs(2) of each file system of the host's that something of is shared (docs/adr/0080).
 */
export function fileServerOptions(
  directory: BoxDirectory,
  { hasUserNamespace }: { hasUserNamespace: boolean },
): string[] {
  return [
    ...[
      `share=${givenNumbers.share}`,
      `base=${givenNumbers.base}`,
      "proc=fd",
      "file=/proc/self/mountinfo:",
      `file=/proc/sys/fs/nr_open:${vmmMaxOpenFiles}`,
    ],
    ...(hasUserNamespace ? [`userns=${givenNumbers.userNamespace}`, `processes=${fileServerProcesses}`] : []),
    ...[...ofFileServer, "refuse=syncfs", `listen=${directory.fsSocket}`],
  ];
}

/** Both ways, of ids in the range; what is not in it stays as it is. */
function translation(kind: "uid" | "gid", { first, count }: HostIds): string {
  return `--translate-${kind}=map:${first}:0:${count}`;
}

/**
 * Guest kernel parameters under TCG, each measured or needed (docs/adr, "QEMU flags"):
 * - `init_on_alloc=1`: TCG doesn't see the file server writing to guest memory and would run stale translations of
 *   pages that are used again; so the guest itself writes each page first.
 * - `reboot=t`: the only way to end that takes QEMU with it at once.
 * - `no_timer_check`, `tsc=reliable`: a clock with more than 4 ms resolution, and less to do at boot.
 * - `tsc_early_khz`: the guest would measure its counter against an emulated timer, which a busy host makes late. The
 *   kernel then either drops the counter (a clock of jiffies, a third too slow on a loaded machine) or runs it wrong.
 *   Under TCG the counter is the host's.
 * - `mitigations=off`: the guest would keep two page tables for each process, and each change of them throws the
 *   emulator's translated addresses away; a system call then costs 15 times as much. What the mitigations hinder is the
 *   processor's speculation, and this processor is a program (ADR 0091). Never with KVM.
 * - `lapic_timer_khz`: QEMU's APIC counts nanoseconds. A kernel of ours then doesn't measure it, which took 200 ms of
 *   each boot, and failed on a busy host (ADR 0131). Others hand the word to PID 1, which doesn't know it.
 */
const kernelParameters = [
  ...["init_on_alloc=1", "reboot=t", "no_timer_check", "tsc=reliable", "mitigations=off"],
  "lapic_timer_khz=1000000",
] as const;

/**
 * Boots as fast as the oldest model that runs this kernel, and has what x86-64-v3 asks for (AVX2, BMI, FMA, MOVBE), which
 * newer distributions' images are built for; RDRAND, without which the guest waits for entropy. Models that have these
 * by themselves bring supervisor features along that cost a tenth of the boot and more.
 */
const cpuModel = "Nehalem,+rdrand,-spec-ctrl,+xsave,+avx,+avx2,+bmi1,+bmi2,+fma,+movbe,+f16c,+abm";

/**
 * MiB of translated code that a Box may keep. QEMU by itself takes up to 1024, and a Box grows for hours; when it is full
 * QEMU starts afresh.
 */
const translatedMib = 128;

/** Threads for the processors, the main loop, and those that come and go. */
const threadsBesideProcessors = 64;
/** QEMU holds the devices and a few more. */
const vmmOpenFiles = 1024;

/** Descriptors of QEMU, by what they are; `tap` only where the Box has one, what a snapshot takes after it. */
const descriptors = { console: 3, agent: 4, fs: 5, tap: 6 } as const;

/** The name of the file in QEMU to which its monitor may have the state written. */
export const snapshotFile = "/dev/fdset/2";

/** What the launcher prepares for QEMU: the order is that of `descriptors`. */
export function vmmOptions(request: StartRequest, kernel: string): string[] {
  const { spec, directory } = request;
  return [
    `see=${kernel}`,
    ...[`append=${directory.console}`, `listen=${directory.agentSocket}`, `connect=${directory.fsSocket}`],
    ...(spec.tap === null ? [] : [`tap=${spec.tap}`]),
    ...snapshotOptions(request),
    ...[
      `user=${vmmUserOf(spec.id)}`,
      `processes=${spec.vcpus + threadsBesideProcessors}`,
      `open_files=${vmmOpenFiles}`,
    ],
    "calls=vmm",
  ];
}

type Machine = Pick<StartRequest, "spec" | "kernelParameters" | "snapshot"> & {
  readonly directory: Pick<BoxDirectory, "path">;
};

/** What of the command lines the state of a machine depends on, beside its sizes: all, as of one with a tap. */
export function machineFacts(parameters: readonly string[]): string[] {
  const sizes = { vcpus: 1, memoryMib: 1, tap: "tap" };
  const spec: BoxSpec = { id: boxId("0".repeat(64)), ...sizes, netnsPath: "", cgroupParent: "" };
  const machine: Machine = { spec, directory: { path: "" }, kernelParameters: parameters, snapshot: { from: "" } };
  return [...qemuArguments(machine, "", 0), ...virtiofsdArguments({})];
}

/** qemu(1): the `microvm` machine, virtio-mmio devices only, emulated. Everything is where measurements put it. */
export function qemuArguments(request: Machine, kernel: string, tscKhz: number): string[] {
  const { spec, directory } = request;
  const memory = `${spec.memoryMib}M`;
  return [
    // For who looks at the list of processes: QEMU itself can't reach it.
    ...["-name", `guest=${directory.path.replaceAll(",", ",,")}`], // a comma would begin another option
    ...["-M", "microvm,acpi=off,rtc=on,pit=on,pic=on,isa-serial=off,auto-kernel-cmdline=on,memory-backend=mem"],
    ...["-accel", `tcg,tb-size=${translatedMib}`, "-cpu", cpuModel, "-smp", String(spec.vcpus), "-m", memory],
    ...["-object", `memory-backend-memfd,id=mem,size=${memory},share=on`],
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"],
    // On top of the launcher's list: its threads can't start programs once they run.
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-add-fd", `fd=${descriptors.console},set=1`, "-chardev", "file,id=con,path=/dev/fdset/1,append=on"],
    ...["-device", "virtio-serial-device,id=vs0", "-device", "virtconsole,chardev=con,bus=vs0.0,nr=0"],
    ...["-chardev", `socket,id=ag,fd=${descriptors.agent},server=on,wait=off`],
    ...["-device", "virtserialport,bus=vs0.0,nr=1,chardev=ag,name=agent"],
    ...["-chardev", `socket,id=fs,fd=${descriptors.fs}`],
    ...["-device", `vhost-user-fs-device,chardev=fs,tag=${rootTag},queue-size=128`],
    // What the guest has freed goes back to the host, in blocks of 2 MiB, some seconds later.
    ...["-device", "virtio-balloon-device,free-page-reporting=on"],
    ...networkArguments(request),
    ...snapshotArguments(request),
    ...["-kernel", kernel, "-append", kernelCommandLine([...kernelParameters, `tsc_early_khz=${tscKhz}`], request)],
  ];
}

/**
 * Pages lie in the file at the places that they have in memory: what is zero takes no room, and is not read. No monitor is
 * needed to go on from it.
 */
function snapshotArguments({ snapshot, spec }: Machine): string[] {
  if (snapshot === undefined) return [];
  if ("from" in snapshot) {
    const quiet = ["-global", "migration.announce-rounds=0"]; // QEMU would send frames with the address that all of a template have
    return ["-global", "migration.mapped-ram=on", ...quiet, "-incoming", `file:${snapshot.from}`];
  }
  const first = descriptors.tap + (spec.tap === null ? 0 : 1);
  return [
    ...["-add-fd", `fd=${first},set=2`],
    ...["-chardev", `socket,id=qmp,fd=${first + 1},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
  ];
}

function snapshotOptions({ snapshot }: StartRequest): string[] {
  if (snapshot === undefined) return [];
  return "from" in snapshot ? [`see=${snapshot.from}`] : [`write=${snapshot.to}`, `listen=${snapshot.monitor}`];
}

function networkArguments({ spec, snapshot }: Machine): string[] {
  if (spec.tap === null) return [];
  if (!/^[0-9A-Za-z_.-]{1,15}$/.test(spec.tap)) throw new RuntimeError("internal", `tap "${spec.tap}" is malformed`);
  const mac = snapshot === undefined ? deviceMacOf(spec.id) : templateMac;
  return [
    ...["-netdev", `tap,id=n0,fd=${descriptors.tap}`],
    // A guest that goes on from a snapshot would be told to announce itself. Linux waits for its links' lock then, and who holds
    // that lock and takes the device down waits for the announcement: neither ever ends (6.12, virtio_net).
    ...["-device", `virtio-net-device,netdev=n0,mac=${mac},guest_announce=off`],
  ];
}
