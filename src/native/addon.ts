/**
 * The typed face of the native addon: every function it has, in the order of `addon/binding.cc`. Nothing else in the
 * project knows the `.node` file. Absent is `null`, never a missing member.
 *
 * Failures are `NativeError`s: an errno name in `code` ("ENOENT"), the system call and the path it was about.
 *
 * Promises, settled from the pool or from a watcher; never block the event loop. What changes a thread (setns, unshare)
 * runs on a thread made for it or in the child.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { RuntimeError, messageOf } from "../base/errors.js";

/** What every function here rejects with or throws: "ENOENT: mount /x: No such file or directory". */
export interface NativeError extends Error {
  /** errno name. */
  readonly code: string;
  /** errno, negative as Node's own. */
  readonly errno: number;
  /** The system call, or the step of a child that failed ("execve", "setns"). */
  readonly syscall: string;
  readonly path: string | null;
}

export interface MountFlags {
  readonly readonly: boolean;
  readonly nosuid: boolean;
  readonly nodev: boolean;
}

/** What a tmpfs can have beside its size. */
interface TmpfsMore {
  /** Files and directories, its own among them; null: as many as the kernel gives it. */
  readonly maxInodes: number | null;
  /** User and group of its top. */
  readonly owner: number;
  readonly noexec: boolean;
  /** Links in it lead nowhere (mount(2), MS_NOSYMFOLLOW). */
  readonly nosymfollow: boolean;
}

/** Ids of the host, from `first` on, that a user namespace's from 0 on are. */
export interface HostIds {
  readonly first: number;
  readonly count: number;
}

/** Of a user namespace. */
export interface IdMap {
  readonly uids: HostIds;
  readonly gids: HostIds;
}

/** `count` ids of a user namespace from `inside` on are the host's from `outside` on (user_namespaces(7), uid_map). */
export interface IdExtent {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Of a user namespace: from 0 on, or in pieces that are the same for users and groups; at least one. */
export type OwnerMap = IdMap | { readonly extents: readonly IdExtent[] };

/** By its number and field 22 of /proc/PID/stat: no other process that has the number later. */
export interface NamedProcess {
  readonly pid: number;
  readonly startTime: bigint;
}

/** What a bind mount can be beside its flags. */
export interface BindShown {
  /** Owners are shown as a user namespace with these ids has them (mount_setattr(2), MOUNT_ATTR_IDMAP); null: as they are. */
  readonly ids: OwnerMap | null;
  /** What comes to be mounted below the source comes to the copy too. */
  readonly follows: boolean;
  /** Whose mounts it becomes one of, the target being a path there without links; absent is this process. */
  readonly among?: NamedProcess | null;
}

export interface OverlayMount {
  /** Lower folders, uppermost first, at least one; any number (paths go over as descriptors where the text is long). */
  readonly lowers: readonly string[];
  /** Both null: a read-only overlay of the lowers. */
  readonly upper: string | null;
  readonly work: string | null;
  readonly target: string;
  readonly flags: MountFlags;
  /** Mount with `index=on` (hard links of lower layers keep their identity). Only with an upper. */
  readonly index: boolean;
  /** Owners in the lowers are shown as a user namespace with these ids has them. Absent is null. */
  readonly ids?: OwnerMap | null;
  /**
   * With `ids`: those in the upper too, which is beside `work` in one folder. What lies on the disk then has the owners that
   * it has without a namespace. The namespace has a root, and nobody else on the host can write to the overlay as root.
   * EROFS where the kernel could mount it only to be read. Absent is false.
   */
  readonly mapsUpper?: boolean;
  /** As `BindShown.among`; the layers' paths are this process's. */
  readonly among?: NamedProcess | null;
}

type Propagation = "private" | "shared" | "slave";

export interface SpawnOptions {
  /** Absolute path of the program. */
  readonly file: string;
  /** argv, the program's name first. */
  readonly args: readonly string[];
  /** The whole environment, "NAME=value". */
  readonly env: readonly string[];
  readonly cwd: string;
  /** Descriptors of this process that become 0, 1, 2, 3, … of the child; null is /dev/null. At least three. */
  readonly stdio: readonly (number | null)[];
  /** Network namespace to enter, a path as `createNetns` made it; null: the caller's. */
  readonly netns: string | null;
  /** A new mount namespace, all of it made rslave. */
  readonly newMountNamespace: boolean;
  /** New IPC and UTS namespaces. */
  readonly newIpcAndUts: boolean;
  /** A new PID namespace, of which the process is number 1; /proc stays the old one's. Absent is false. */
  readonly newPidNamespace?: boolean;
  /** Killed when this process ends, whatever way; else it outlives it. Absent is false. */
  readonly dieWithParent?: boolean;
  /** `cgroup.procs` files that the child writes itself into before it executes, in order. */
  readonly cgroupProcs: readonly string[];
  /** RLIMIT_NOFILE, soft and hard, cut to what is allowed; null: inherited. */
  readonly maxOpenFiles: number | null;
  /** /proc/self/oom_score_adj to write, clamped to what is allowed; null: inherited. */
  readonly oomScoreAdj: number | null;
}

export interface SpawnedProcess extends NamedProcess {
  /** Close-on-exec pidfd; the caller closes it with `closeFd`. */
  readonly pidfd: number;
}

export interface ExitInfo {
  /** Exit code; null when killed, or when the process was not our child. */
  readonly code: number | null;
  /** Signal number; null when it exited, or when the process was not our child. */
  readonly signal: number | null;
}

/** A watch on the end of a process; `exited` settles once. */
export interface ExitWatch {
  readonly exited: Promise<ExitInfo>;
  /** Stops watching and forgets; `exited` then never settles. A second call does nothing. */
  close(): void;
}

/** One that is not closed has a thread and two descriptors; it does not keep the process alive. */
export interface MountWatch {
  /** Resolves with true when mounts have changed since it last did, with false when the watch is closed. */
  next(): Promise<boolean>;
  /** A second call does nothing. */
  close(): void;
}

export interface TscReading {
  readonly ticks: bigint;
  readonly monotonicNs: bigint;
}

/** One link of a network namespace, as rtnetlink(7) tells. */
export interface LinkState {
  readonly index: number;
  readonly mac: string;
  readonly mtu: number;
  readonly promiscuous: boolean;
  readonly allMulticast: boolean;
  /** Packets. */
  readonly transmitQueue: number;
  /** CIDR, both families; link-local IPv6 left out. */
  readonly addresses: readonly string[];
  /** Of the main table, leaving by this link to one next hop or none. */
  readonly routes: readonly LinkRoute[];
  /** The permanent ones. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
}

export interface LinkRoute {
  /** CIDR; "0.0.0.0/0" and "::/0" are the defaults. */
  readonly destination: string;
  /** Null: on the link. May be of the other family. */
  readonly gateway: string | null;
  readonly source: string | null;
  /** 0: none. */
  readonly metric: number;
  /** 0: the link's. */
  readonly mtu: number;
  /** The gateway is on the link although no other route says so. */
  readonly onLink: boolean;
}

/** An flock on a folder or a file; it ends with the process, and with those that were given its descriptor. */
export interface FolderLock {
  /** Good until it is closed. */
  readonly fd: number;
  close(): void;
}

/** A path with its links resolved, and what is there. */
export interface HostFile {
  readonly path: string;
  readonly kind: "file" | "directory" | "socket" | "fifo" | "device";
  readonly device: bigint;
  readonly inode: bigint;
}

/** As they were at connect(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Native {
  /**
   * A bind mount, recursive or not, with the flags on its top mount from the first moment. File on file or folder on
   * folder; the source is followed (`/proc/self/fd/N` of an opened file may be one), a link as the target is ELOOP. EINVAL
   * where the source's file system can't show other owners (`shown`; absent is as they are, and alone).
   */
  bindMount(source: string, target: string, recursive: boolean, flags: MountFlags, shown?: BindShown): Promise<void>;
  /** The same, mounted nowhere yet: its close-on-exec descriptor (open_tree(2)), with which it ends. */
  copyMount(source: string, recursive: boolean, flags: MountFlags, shown: BindShown): Promise<number>;
  mountOverlay(mount: OverlayMount): Promise<void>;
  /** nosuid and nodev always. */
  mountTmpfs(target: string, sizeBytes: number, mode: number, more?: TmpfsMore): Promise<void>;
  /**
   * A new user namespace with these ids, as a close-on-exec descriptor: it lives as long as anybody has it open or is in
   * it. The caller closes it with `closeFd`. ENOSPC where the machine allows no more of them
   * (/proc/sys/user/max_user_namespaces).
   */
  openUserNamespace(ids: OwnerMap): Promise<number>;
  setPropagation(target: string, propagation: Propagation, recursive: boolean): Promise<void>;
  /** mount_setattr/remount of one bind mount to read-only or back. */
  setReadonly(target: string, readonly: boolean): Promise<void>;
  /**
   * umount2; lazy is MNT_DETACH. UMOUNT_NOFOLLOW always. EINVAL and ENOENT (nothing there) are success. With `among` in that
   * process's mount namespace; success too when the process has ended.
   */
  unmount(target: string, lazy: boolean, among?: NamedProcess | null): Promise<void>;
  /** O_PATH of a path without links in the mount namespace of that process; ESRCH when it has ended. */
  openAmongMounts(process: NamedProcess, path: string): Promise<number>;
  /** The mounts of that namespace, as a thread of this process in it is shown them (proc_pid_mountinfo(5)). */
  readMounts(process: NamedProcess): Promise<string>;
  /**
   * A new network namespace with its loopback up, bound to `path` (created, parent must exist). Undoes itself. With
   * `owner` it is a new user namespace's with these ids, which lives as long; absent is null.
   */
  createNetns(path: string, owner?: IdMap | null): Promise<void>;
  /** Lazy unmount and unlink; success when it is not there. */
  removeNetns(path: string): Promise<void>;
  /** A persistent tap of that namespace (IFF_TAP, IFF_NO_PI, IFF_VNET_HDR), up; it goes with the namespace. */
  createTap(netns: string, name: string): Promise<void>;
  /**
   * Joins two links of a namespace at layer 2: what comes in at one leaves at the other (tc-mirred(8)). Brings both up;
   * the second gets the first's MTU.
   */
  redirectLinks(netns: string, first: string, second: string): Promise<void>;
  /** What a link of that namespace has; null when there is none of that name. */
  readLink(netns: string, name: string): Promise<LinkState | null>;
  /** Starts a process of its own session (setsid) that outlives this one, unless told. Resolves once execve has succeeded. */
  spawn(options: SpawnOptions): Promise<SpawnedProcess>;
  /** pidfd_open, checked against the start time; null when that process is gone. */
  adoptProcess(pid: number, startTime: bigint): Promise<number | null>;
  /** Reaps it when it is our child. */
  watchExit(pidfd: number): ExitWatch;
  /**
   * Watches the mounts that this process sees (/proc/self/mountinfo), from now on: what changes before `next` is called is
   * told by it. Throws `NativeError`.
   */
  watchMounts(): MountWatch;
  /** pidfd_send_signal; false when it is gone. */
  signalProcess(pidfd: number, signal: number): Promise<boolean>;
  closeFd(fd: number): Promise<void>;
  /** Takes an exclusive flock without waiting; EWOULDBLOCK when another process has it. */
  lockFolder(path: string): Promise<FolderLock>;
  /** The same on a regular file, whose descriptor is no way to other files; a link is not followed. `make`: it may be new. */
  lockFile(path: string, make: boolean): Promise<FolderLock>;
  /**
   * openat2 below `root`, no magic links, O_CLOEXEC: "beneath" refuses `..` and absolute links (EXDEV), "inRoot" reads
   * them as a chroot would. Flags as in `fs.constants`.
   */
  openIn(root: string, path: string, flags: number, mode: number, resolve: "beneath" | "inRoot"): Promise<number>;
  /** Removes a tree without following links. EBUSY, and nothing behind it touched, at a mount. Success when not there. */
  removeTree(path: string): Promise<void>;
  /**
   * Bytes (512 × st_blocks) and inodes of a tree, links not followed, one file system; hard links counted once. Ends with
   * ECANCELED soon after the first number of `stop` is no longer 0.
   */
  treeUsage(path: string, stop?: Int32Array): Promise<{ bytes: bigint; inodes: bigint }>;
  /** The processor's time stamp counter and CLOCK_MONOTONIC of the same moment; at once. */
  readTsc(): TscReading;
  /** One datagram to a Unix socket ("@name": an abstract one), as sd_notify(3) sends it; at once. Throws `NativeError`. */
  notifySocket(path: string, text: string): void;
  /** Who has connected a Unix socket (unix(7), SO_PEERCRED); at once. Throws `NativeError`. */
  peerCredentials(fd: number): PeerCredentials;
  /**
   * realpath and stat of a path on the host, whose file system may never answer: each question waits on a thread of its
   * own, and no other call waits behind it.
   */
  lookUp(path: string): Promise<HostFile>;
  /** _exit(2): ends the process also while a thread of it is in a call that never ends. */
  exitNow(status: number): never;
}

const declared: Record<keyof Native, true> = {
  bindMount: true,
  copyMount: true,
  mountOverlay: true,
  mountTmpfs: true,
  openUserNamespace: true,
  setPropagation: true,
  setReadonly: true,
  unmount: true,
  openAmongMounts: true,
  readMounts: true,
  createNetns: true,
  removeNetns: true,
  createTap: true,
  redirectLinks: true,
  readLink: true,
  spawn: true,
  adoptProcess: true,
  watchExit: true,
  watchMounts: true,
  signalProcess: true,
  closeFd: true,
  lockFolder: true,
  lockFile: true,
  openIn: true,
  removeTree: true,
  treeUsage: true,
  readTsc: true,
  notifySocket: true,
  peerCredentials: true,
  lookUp: true,
  exitNow: true,
};

const functionNames = Object.keys(declared);

/** Names of declared functions that a loaded addon does not have. */
export function missingFunctions(loaded: unknown): string[] {
  if (typeof loaded !== "object" || loaded === null) return functionNames;
  const members = new Map<string, unknown>(Object.entries(loaded));
  return functionNames.filter((name) => typeof members.get(name) !== "function");
}

function isAddon(loaded: unknown): loaded is Native {
  return missingFunctions(loaded).length === 0;
}

const hint = "run npm run quickstart, or npm run setup";

/** Loads `<assetsDir>/native/a3s_box.node`; in a worker thread too. */
export function loadNative(assetsDir: string): { native: Native } {
  const path = join(assetsDir, "native", "a3s_box.node");
  let loaded: unknown;
  try {
    loaded = createRequire(import.meta.url)(path);
  } catch (cause) {
    const message = messageOf(cause).split("\n")[0] ?? "";
    throw new RuntimeError("failedPrecondition", `the native addon ${path} can't be loaded: ${message}`, {
      hint,
      cause,
    });
  }
  if (!isAddon(loaded)) {
    const names = missingFunctions(loaded).join(", ");
    throw new RuntimeError("failedPrecondition", `the native addon ${path} is of another version: no ${names}`, {
      hint,
    });
  }
  return { native: loaded };
}
