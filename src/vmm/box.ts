/**
 * What the rest of the runtime sees of a Box: an agent that runs a pod's containers, and a share of what they may see.
 * Mostly it is a microVM; under the `native` driver the agent is a process of the host (docs/adr/0045). Nothing here
 * speaks CRI.
 */
import type { BoxId } from "../base/ids.js";
import type { MountLine } from "../base/mountinfo.js";
import type { IdMap } from "../native/addon.js";
import type { CpuSet } from "./cgroup/cpu-set.js";
import type { DiskUsage } from "./usage.js";
import type { OwnersVerdict } from "./share/probe-owners.js";
import type { AgentClient } from "./agent/agent-client.js";
import type { StagingFile } from "./agent/staged-parts.js";
import type { DriverName, MachineDriver } from "./driver-name.js";
import type { BoxPool } from "./pool/box-pool.js";

export type { DriverName, MachineDriver };
/** A namespace of the host in which a pod can live, under `native`. */
export type HostNamespace = "network" | "pid" | "ipc";

/**
 * How a driver shows other owners than the host's: its file server does, or the mounts of the share do (and the host keeps
 * the pod's user namespace, where the pod is the host's own); or why it can't.
 */
export type IdMapping = { readonly by: "server" | "mounts" } | { readonly by: "none"; readonly why: string };

/** A container's writable tree. */
export interface Snapshot {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  /** What bounds it: a quota of its file system, or a file system of its own. Absent: nothing. */
  readonly boundBy?: "none" | "quota" | "file";
}

/** What a Box is made of. */
export interface BoxSpec {
  readonly id: BoxId;
  /** Of the machine, where there is one. */
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Network namespace that VMM or agent enter; null: the host's, under `native` only. */
  readonly netnsPath: string | null;
  /** Name of the tap in that namespace to attach; null: no interface but the loopback. */
  readonly tap: string | null;
  /** Absent: the factory's. One that it was opened with. */
  readonly driver?: DriverName;
  /** Those of the host that the pod lives in; absent is none. None with a machine. */
  readonly hostNamespaces?: readonly HostNamespace[];
  /** How the share shows owners, for a pod with a user namespace of its own; absent: as they are. Drivers may refuse it. */
  readonly idMap?: IdMap;
  /**
   * Host cgroup to live in: a path ("/kubepods/pod1"), or a slice where systemd makes the groups ("kubepods-pod1.slice").
   * A child named by the id is made. "": one of our own.
   */
  readonly cgroupParent: string;
  /** Of VMM and file server, as `Box.setOomScore` changes it; absent is 0, whatever the daemon's own is. */
  readonly oomScore?: number;
}

/** The facts that find a Box again after a daemon restart; goes into the pod's record as it is. */
export interface BoxHandle {
  readonly driver: DriverName;
  /** VMM first, then its file server; the agent alone under `native`. */
  readonly processes: readonly {
    readonly role: "vmm" | "fs" | "agent";
    readonly pid: number;
    readonly startTime: bigint;
  }[];
  /** Absolute directory of the Box: sockets, console log, share. */
  readonly directory: string;
  readonly cgroups: readonly string[];
  /** As mounts of a host pod's share show owners; absent: as they are. */
  readonly idMap?: IdMap | undefined;
  /**
   * The host's id of root of the user namespace in which the share is served, whose owners its mounts show. Absent: the
   * host's own, as Boxes of earlier daemons have it.
   */
  readonly serverRoot?: number | undefined;
  /**
   * The mounts of the share are among those of the process that serves it (`fs` or `vmm`). Absent: among the daemon's own,
   * as a pod of the host has them, and Boxes of earlier daemons.
   */
  readonly sharedBy?: "server" | undefined;
  /** MAC of its network device where that is not of its id: it goes on from a template. */
  readonly deviceMac?: string | undefined;
}

export interface BoxExit {
  readonly atNs: bigint;
  /** "vmm exited with status 1", "vmm killed by signal 9", "file server exited …"; with the console's last line. */
  readonly reason: string;
}

/** One entry of a Box's share. Mounted under a fresh, unguessable name; never over something the guest has seen. */
export interface SharedPath {
  /** Absolute path as the agent sees it (share/layout.ts). */
  readonly guestPath: string;
  /** Its name on the host, below the Box's directory: what is there is seen by `Box.lookAtShared` alone. */
  readonly hostPath: string;
}

export interface Box {
  readonly id: BoxId;
  readonly handle: BoxHandle;
  /** MAC by which the agent knows the Box's network device, where there is a tap. */
  readonly deviceMac: string;
  /** Mounts of its share show other owners than the host's: what a pod of the host is to see so has to be in it. */
  readonly showsOtherOwners: boolean;
  /** Where the pod's /dev/shm is, as the agent sees it. */
  readonly sharedMemory: string;
  /** Settles once, within 2 s of the death of one of its processes. */
  readonly exited: Promise<BoxExit>;
  /** Undefined while it lives. */
  readonly exit: BoxExit | undefined;
  readonly agent: AgentClient;
  /** Mounts an overlay into the share; for a guest nosuid, nodev and index=on. */
  shareOverlay(name: string, snapshot: Snapshot): Promise<SharedPath>;
  /** Mounts an image's layers (uppermost first, two at least) into the share as a read-only overlay. */
  shareImage(name: string, lowers: readonly string[]): Promise<SharedPath>;
  /**
   * Binds a file or directory of the host into the share; `source` is resolved by the caller. With what is mounted below it
   * unless `recursive` is false, but nothing that is mounted in one of the directories `without`. For a guest nosuid and nodev;
   * for a pod of the host it shows other owners, as nothing else needs a place. `failedPrecondition` where the source's
   * file system can't do that.
   */
  shareBind(
    name: string,
    source: string,
    readonly: boolean,
    recursive?: boolean,
    without?: readonly string[],
  ): Promise<SharedPath>;
  /**
   * Binds one mount of the host into the share, without what is below it, by its path or a descriptor's ("/proc/self/fd/9").
   * For a pod of the host it shows owners as they are.
   * Its file system is not asked for anything: it may never answer.
   */
  shareMount(name: string, descriptorPath: string, isDirectory: boolean): Promise<SharedPath>;
  /** For parts of a file that is written into a container; undefined: they go through the agent's channel. */
  stageUpload(signal: AbortSignal): Promise<StagingFile | undefined>;
  /** Lazy unmount and removal of one entry. Call after the agent let go. Success when gone. */
  removeShared(hostPath: string): Promise<void>;
  /** Host paths of all entries: of those that nobody has on record `removeShared` takes what a killed daemon began. */
  listShared(): Promise<string[]>;
  /** What is mounted in the share, named as `SharedPath.hostPath` names it, a mount after the one that it is on. */
  mountedShared(): Promise<MountLine[]>;
  /**
   * `look` gets a path by which this process sees an entry of the share, good until it ends. The host does not see what a
   * Box has mounted. ENOENT for what is not there.
   */
  lookAtShared<T>(hostPath: string, look: (path: string) => Promise<T>): Promise<T>;
  /**
   * Stops a machine as it is, with all that runs in it; nobody calls its agent until `resume`. Success where it stands still. It
   * is not given up for its silence, and can be stopped and removed.
   */
  pause(signal: AbortSignal): Promise<void>;
  /** Success where it runs. */
  resume(signal: AbortSignal): Promise<void>;
  /** Of one that stands still: to the host's swap, where it has any. Ends when it goes on. Never fails. */
  giveMemoryBack(): Promise<void>;
  /** Asks the agent to shut down, waits `graceMs`, kills; resolves when the Box's processes are gone. */
  stop(graceMs: number, signal: AbortSignal): Promise<void>;
  /** Last lines of the guest's console, or of what the agent said on the host, for messages. At most 4 KiB. */
  consoleTail(): Promise<string>;
  /** Host CPU time of the pod, in nanoseconds since the Box's start. */
  cpuTime(): Promise<bigint>;
  /** Bytes of host memory of the pod: of a machine the PSS of its processes, under `native` its cgroup's working set. */
  memoryUsage(): Promise<bigint>;
  /** Where on the host VMM and file server run. Throws as `confineGroups`. */
  confineTo(set: CpuSet): Promise<void>;
  /** When the host's kernel ends VMM and file server for memory, beside other processes: proc_pid_oom_score_adj(5). */
  setOomScore(score: number): Promise<void>;
  /** Disk traffic of VMM and file server together; undefined where it is not counted. */
  diskUsage(): Promise<DiskUsage | undefined>;
}

export interface BoxFactory {
  readonly driver: MachineDriver;
  /** How that driver (the factory's when undefined) boots a Box with `idMap`. */
  idMapping(driver: DriverName | undefined): IdMapping;
  /** Whether containers of its Boxes can have recursive read-only mounts. */
  mountsRecursiveReadOnly(driver: DriverName | undefined): boolean;
  /** Why this driver: "KVM self-test passed", "KVM unusable: KVM_EXIT_INTERNAL_ERROR …; emulating with QEMU". */
  readonly reason: string;
  /** Whether what serves its Boxes' shares is in a user namespace, where the driver can; or why it is the host's root. */
  readonly owners: OwnersVerdict;
  /** Boxes that are up before a pod asks for one. */
  readonly pool: BoxPool;
  /** Has the Box that was taken from the pool under this id, where that goes; else boots, in its turn, and answers once the agent said hello. Undoes itself on failure; the error carries the console's tail. */
  boot(spec: BoxSpec, signal: AbortSignal): Promise<Box>;
  /** Finds a running Box again; null when its VMM is gone (its remains are still to be removed with `discard`). */
  adopt(id: BoxId, handle: BoxHandle, signal: AbortSignal): Promise<Box | null>;
  /** Kills what is left of a Box and removes its directory, mounts and cgroup. Idempotent; works without a handle. */
  discard(id: BoxId, handle: BoxHandle | undefined, signal: AbortSignal): Promise<void>;
  /** Ids of all Boxes that have a directory on disk, for recovery. */
  listDirectories(): Promise<BoxId[]>;
  /** Resolves when nothing is made in the background: soon after `closing` was aborted. */
  idle(): Promise<void>;
}
