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
import type {
  MountFlags,
  TmpfsMore,
  IdMap,
  OwnerMap,
  NamedProcess,
  BindShown,
  OverlayMount,
  Propagation,
  SpawnOptions,
  SpawnedProcess,
  ExitWatch,
  MountWatch,
  TscReading,
  LinkState,
  DirectoryLock,
  JoinedListener,
  HostFile,
  PeerCredentials,
  ProjectUse,
} from "./values.js";

export type * from "./values.js";

export interface Native {
  /**
   * A bind mount, recursive or not, with the flags on its top mount from the first moment. File on file or directory on
   * directory; the source is followed (`/proc/self/fd/N` of an opened file may be one), a link as the target is ELOOP. EINVAL
   * where the source's file system can't show other owners (`shown`; absent is as they are, and alone).
   */
  bindMount(source: string, target: string, recursive: boolean, flags: MountFlags, shown?: BindShown): Promise<void>;
  /** The same, mounted nowhere yet: its close-on-exec descriptor (open_tree(2)), with which it ends. */
  copyMount(source: string, recursive: boolean, flags: MountFlags, shown: BindShown): Promise<number>;
  mountOverlay(mount: OverlayMount): Promise<void>;
  /** nosuid and nodev always. */
  mountTmpfs(target: string, sizeBytes: number, mode: number, more?: TmpfsMore): Promise<void>;
  /**
   * Mounts a file with an ext4 in it, nosuid and nodev, by a loop device that is free again when the last mount of it ends,
   * whoever had that. No barriers: what is in it may be lost when the host's power is.
   */
  mountFileDisk(file: string, target: string): Promise<void>;
  /**
   * What is in it is nobody's any more: nothing of it is written to the file from now on, and whoever still uses it is told EIO.
   * Its last unmount then writes nothing. Success where it is not mounted.
   */
  abandonFileDisk(file: string): Promise<void>;
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
  /** Brings both up as `redirectLinks` does, and leaves it to whoever calls to lead packets from one to the other. */
  raiseLinks(netns: string, first: string, second: string): Promise<void>;
  /**
   * Gives a link of that namespace an address, usable at once, and one permanent neighbour. All of one family; what stands
   * there already stays.
   */
  addLinkEnd(
    netns: string,
    name: string,
    address: string,
    prefix: number,
    neighbour: string,
    mac: Uint8Array,
  ): Promise<void>;
  /**
   * A socket bound in that namespace, of which it stays: its close-on-exec, non-blocking descriptor, which belongs to the
   * caller. One for "tcp" does not listen yet.
   */
  listenIn(netns: string, kind: "udp" | "tcp", address: string, port: number): Promise<number>;
  /**
   * A stream socket of the vsock bound to that port, for whoever reaches this machine by it; it does not listen yet. At once; the
   * descriptor belongs to the caller. Throws `NativeError`: EAFNOSUPPORT where the kernel has no vsock.
   */
  bindVsock(port: number): number;
  /**
   * Listens on a bound stream socket of any kind, which is its own from now on, and gives the connections as Unix sockets, which
   * libuv knows: `arrived` is told of each, and has its descriptor. `most` at once; what is more waits in the kernel.
   * Throws `NativeError`.
   */
  joinAccepted(fd: number, most: number, arrived: (fd: number, cid: number, port: number) => void): JoinedListener;
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
  lockDirectory(path: string): Promise<DirectoryLock>;
  /** The same on a regular file, whose descriptor is no way to other files; a link is not followed. `make`: it may be new. */
  lockFile(path: string, make: boolean): Promise<DirectoryLock>;
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
  /** Whether the file system of a directory holds projects to their limits (quotactl(2), PRJQUOTA). */
  boundsProjects(directory: string): Promise<boolean>;
  /** The directory, and what is made in it from now on, is that project's. */
  setProject(directory: string, id: number): Promise<void>;
  /** 0: nobody's, or of a file system without projects. */
  projectOf(directory: string): Promise<number>;
  /** Hard limits of a project on the directory's file system, of bytes in steps of 1024; 0 is none. */
  limitProject(directory: string, id: number, bytes: bigint, inodes: bigint): Promise<void>;
  /** The first project from that number on of which that file system has anything on record; null: none. */
  nextProject(directory: string, from: number): Promise<ProjectUse | null>;
  /** The processor's time stamp counter and CLOCK_MONOTONIC of the same moment; at once. */
  readTsc(): TscReading;
  /** One datagram to a Unix socket ("@name": an abstract one), as sd_notify(3) sends it; at once. Throws `NativeError`. */
  notifySocket(path: string, text: string): void;
  /** Who has connected a Unix socket (unix(7), SO_PEERCRED); at once. Throws `NativeError`. */
  peerCredentials(fd: number): PeerCredentials;
  /**
   * A close-on-exec pidfd of that process (SO_PEERPIDFD; of the one that has its number now before Linux 6.5), null when it is
   * gone; at once. The caller closes it with `closeFd`. Throws `NativeError`.
   */
  openPeer(fd: number): number | null;
  /**
   * realpath and stat of a path on the host, whose file system may never answer: each question waits on a thread of its
   * own, and no other call waits behind it.
   */
  lookUp(path: string): Promise<HostFile>;
  /**
   * setns(2) and execve(2): this process begins anew as `file`, with these words and its own environment, in that cgroup
   * namespace; its number stays. Returns only to throw `NativeError`.
   */
  goOnInCgroupNamespace(namespacePath: string, file: string, words: readonly string[]): never;
  /** _exit(2): ends the process also while a thread of it is in a call that never ends. */
  exitNow(status: number): never;
}

const declared: Record<keyof Native, true> = {
  bindMount: true,
  copyMount: true,
  mountOverlay: true,
  mountTmpfs: true,
  mountFileDisk: true,
  abandonFileDisk: true,
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
  raiseLinks: true,
  addLinkEnd: true,
  listenIn: true,
  bindVsock: true,
  joinAccepted: true,
  readLink: true,
  spawn: true,
  adoptProcess: true,
  watchExit: true,
  watchMounts: true,
  signalProcess: true,
  closeFd: true,
  lockDirectory: true,
  lockFile: true,
  openIn: true,
  removeTree: true,
  treeUsage: true,
  boundsProjects: true,
  setProject: true,
  projectOf: true,
  limitProject: true,
  nextProject: true,
  readTsc: true,
  notifySocket: true,
  peerCredentials: true,
  openPeer: true,
  lookUp: true,
  goOnInCgroupNamespace: true,
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
