import { open } from "node:fs/promises";
import { RuntimeError, messageOf } from "../../base/errors.js";
import type { Native, SpawnedProcess } from "../../native/addon.js";
import type { BoxSpec, DriverName, IdMapping } from "../box.js";
import type { BoxDirectory } from "../box-directory.js";
import type { ProcessRole } from "../box-processes.js";
import type { BoxCgroup } from "../cgroup/create.js";
import type { GroupUse } from "../cgroup/plan.js";
import { guestInit } from "../share/layout.js";
import type { GivenTrees } from "../share/share-trees.js";

/**
 * `from`: the file of a machine's state, to go on from; `tried` is told that a VMM has it. `to`: one that its state is to be
 * written to, as the monitor says.
 */
export type SnapshotUse =
  { readonly from: string; readonly tried?: () => void } | { readonly to: string; readonly monitor: string };

export interface StartRequest {
  readonly spec: BoxSpec;
  /** Has its share; the driver adds sockets and logs. */
  readonly directory: BoxDirectory;
  readonly cgroup: Pick<BoxCgroup, "path" | "procs">;
  /**
   * For what serves the share: a user namespace (its descriptor stays the caller's), and the host's id of its root. The
   * share's mounts show its owners. Null: there is none, where the kernel can't or the driver doesn't.
   */
  readonly userNamespace: { readonly fd: number; readonly root: number } | null;
  /** What it serves, to be mounted where it serves it; the descriptors stay the caller's. Null: it serves nothing. */
  readonly trees: GivenTrees | null;
  /** Added to the guest's kernel command line; what the guest's init makes of them is between it and the caller. */
  readonly kernelParameters?: readonly string[];
  /** Absent: it boots. Drivers without `snapshots` know none. */
  readonly snapshot?: SnapshotUse;
  /** Takes over each process as soon as it runs, and its pidfd with it. */
  readonly started: (role: ProcessRole, process: SpawnedProcess) => Promise<void>;
}

/** A VM that has been started. */
export interface StartedVm {
  /** Settles when dialling the agent makes sense; fails when the signal of `start` aborts before. */
  readonly dialable: Promise<void>;
}

export interface DriverSnapshots {
  /** Facts of everything that a machine's state depends on beside its sizes: programs, kernel, its command line. */
  identity(kernelParameters: readonly string[], signal: AbortSignal): Promise<string>;
}

/** What differs between the ways to make a Box. Both leave the agent to be dialled at `directory.agentSocket`. */
export interface Driver {
  readonly name: DriverName;
  readonly groups: GroupUse;
  /** How it does BoxSpec.idMap. */
  readonly idMapping: IdMapping;
  /** What serves its share runs in the Box's user namespace. */
  readonly entersUserNamespace: boolean;
  /** A read-only mount can be so with all that is mounted below it (CRI Mount.recursive_read_only). */
  readonly mountsRecursiveReadOnly: boolean;
  /** As `DriverSnapshots.identity`, of whatever makes machines. */
  readonly identity?: DriverSnapshots["identity"];
  /** Absent: its machines can't be snapshot. */
  readonly snapshots?: DriverSnapshots;
  /**
   * Starts the file server, where it is a process of its own, and the VMM. What has been started is the caller's to
   * kill, also when this fails half way. The signal lasts for the whole boot.
   */
  start(request: StartRequest, signal: AbortSignal): Promise<StartedVm>;
}

/** Descriptors that a VMM and its file server may hold: one for each cached inode of an overlay (virtiofsd's own limit). */
export const vmmMaxOpenFiles = 1_048_576;

/** Kernel parameters that every driver passes; the way to reboot, and what emulation needs, are the driver's. */
const commonKernelParameters = [
  "console=hvc0",
  "rootfstype=virtiofs",
  "root=podroot",
  // Submounts inherit the flags of the mount they hang on: "ro" would make container roots read-only. The host keeps
  // the top read-only.
  "rw",
  "quiet",
  "panic=-1",
  "noreplace-smp",
  "selinux=0",
  "random.trust_cpu=on",
  // Interfaces that nobody has asked for, and that a pod's figures would show.
  "dummy.numdummies=0",
  "ifb.numifbs=0",
] as const;

/** proc_pid_oom_score_adj(5): a pod that is out of memory loses one of its own processes first. */
const agentOomScore = -998;

/** Name of the virtio-fs device, the kernel's `root=`. */
export const rootTag = "podroot";

/** The kernel cuts longer command lines (COMMAND_LINE_SIZE of x86, less the closing NUL). */
const maxCommandLine = 2047;

export function kernelCommandLine(
  ofDriver: readonly string[],
  request: Pick<StartRequest, "kernelParameters">,
): string {
  const parameters = [...commonKernelParameters, ...ofDriver, ...(request.kernelParameters ?? [])];
  const line = [...parameters, `init=${guestInit}`].join(" ");
  if (line.length > maxCommandLine) throw new RuntimeError("internal", "the kernel command line is too long");
  return line;
}

/** The numbers in the program of what `givenDescriptors` gives. */
export const givenNumbers = { share: 3, base: 4, userNamespace: 5 } as const;

/** For what serves the share. */
export function givenDescriptors({ trees, userNamespace }: Pick<StartRequest, "trees" | "userNamespace">): number[] {
  if (trees === null) throw new RuntimeError("internal", "there is no share to serve");
  return [trees.share, trees.base, ...(userNamespace === null ? [] : [userNamespace.fd])];
}

/** Starts one of a Box's programs: its own session, in the Box's cgroup, its words in a file. */
export async function spawnProgram(
  native: Native,
  request: StartRequest,
  program: {
    readonly file: string;
    readonly args: readonly string[];
    readonly log: string;
    readonly netns: string | null;
    /** Number 1 of a PID namespace of its own, with a /proc that it mounts itself. */
    readonly ownPidNamespace: boolean;
    /** Beside PATH; absent: nothing. */
    readonly env?: readonly string[];
    /** Descriptors that become 3, 4, … of the program; absent: none. */
    readonly given?: readonly number[];
    /** Makes namespaces for itself, and is not to be the kernel's choice when memory runs out. Absent is false. */
    readonly isAgent?: boolean;
  },
): Promise<SpawnedProcess> {
  await using log = await open(program.log, "a", 0o600);
  try {
    return await native.spawn({
      file: program.file,
      args: program.args,
      env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...(program.env ?? [])],
      cwd: "/",
      stdio: [null, log.fd, log.fd, ...(program.given ?? [])],
      netns: program.netns,
      newMountNamespace: false,
      newIpcAndUts: program.isAgent !== true,
      newPidNamespace: program.ownPidNamespace,
      cgroupProcs: request.cgroup.procs,
      maxOpenFiles: vmmMaxOpenFiles,
      oomScoreAdj: program.isAgent === true ? agentOomScore : (request.spec.oomScore ?? 0),
    });
  } catch (cause) {
    throw new RuntimeError("internal", `${program.file} did not start: ${messageOf(cause)}`, { cause });
  }
}
